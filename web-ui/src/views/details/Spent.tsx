// What each turn took: time, tokens, money.

import { useEffect, useState } from "react";
import { hub } from "../../app";
import type { SessionInfo, Turn } from "../../protocol";
import { words } from "../../state/hub";
import { Bars } from "../Bars";
import { count, money, span, visible } from "../../ui/text";

export function Spent({ session }: { session: SessionInfo }) {
  const [turns, setTurns] = useState<Turn[]>([]);
  const [trouble, setTrouble] = useState<string | null>(null);
  useEffect(() => {
    let wanted = true;
    hub.socket.request("list_turns", { session_id: session.id, limit: 100 }, true).then((answer) => wanted && setTurns(answer.turns), (error: unknown) => wanted && setTrouble(words(error)));
    return () => {
      wanted = false;
    };
  }, [session.id, session.turns, session.state]);
  const tokens = (turn: Turn) => (turn.usage ? turn.usage.input_tokens + turn.usage.output_tokens + turn.usage.cache_read_tokens + turn.usage.cache_write_tokens : 0);
  const paid = turns.some((turn) => turn.cost);
  const rows = [...turns].reverse();
  return (
    <div className="spent">
      {trouble && <p className="error-text">{trouble}</p>}
      {turns.length === 0 && !trouble && <p className="hint pad">No turn yet.</p>}
      {(paid || turns.some((turn) => tokens(turn) > 0)) && (
        <Bars
          label={paid ? "Cost of each turn" : "Tokens of each turn"}
          bars={rows.map((turn) => ({ key: String(turn.turn), value: paid ? (turn.cost?.amount ?? 0) : tokens(turn), text: `turn ${turn.turn}: ${paid && turn.cost ? money(turn.cost) : `${count(tokens(turn))} tokens`}` }))}
        />
      )}
      {turns.length > 0 && (
        <div className="table" tabIndex={0} role="region" aria-label="Turns">
          <table>
            <thead><tr><th>Turn</th><th>Prompt</th><th className="right">Time</th><th className="right">Tokens</th><th className="right">Cost</th></tr></thead>
            <tbody>
              {turns.map((turn) => (
                <tr key={turn.turn} className={turn.outcome ?? "now"}>
                  <td><a href={`#/s/${session.id}@${turn.first_seq}`}>{turn.turn}</a></td>
                  <td className="cut">{visible(turn.prompt.slice(0, 80))}</td>
                  <td className="right">{turn.ended_ms ? span(turn.ended_ms - turn.started_ms) : "…"}</td>
                  <td className="right">{tokens(turn) ? count(tokens(turn)) : ""}</td>
                  <td className="right">{turn.cost ? money(turn.cost) : ""}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </div>
  );
}
