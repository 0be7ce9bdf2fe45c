// The records of a session as they are, the newest last; and what its agent wrote beside the protocol.

import { useEffect, useState } from "react";
import { hub, useApp } from "../../app";
import type { SessionInfo, WireRecord } from "../../protocol";
import { words } from "../../state/hub";
import { clock, visible } from "../../ui/text";

const PAGE = 200;

function useRecords(session: SessionInfo): { records: WireRecord[]; more: (() => void) | null; trouble: string | null } {
  const [records, setRecords] = useState<WireRecord[]>([]);
  const [trouble, setTrouble] = useState<string | null>(null);
  const head = useApp((state) => state.windows.get(session.id)?.transcript.last ?? 0) || session.head;
  const last = records[records.length - 1]?.seq ?? 0;
  const first = records[0]?.seq ?? 0;
  const read = (after: number, limit: number, put: (before: WireRecord[], got: WireRecord[]) => WireRecord[]) =>
    hub.socket.request("read_records", { session_id: session.id, after, limit }, true).then(
      (answer) => setRecords((before) => put(before, answer.records)), (error: unknown) => setTrouble(words(error)),
    );
  useEffect(() => {
    if (head <= last) return;
    // Not for each record: a stream is read in steps.
    const timer = setTimeout(() => {
      const after = last || Math.max(0, head - PAGE);
      void read(after, 1_000, (before, got) => [...before, ...got.filter((one) => one.seq > (before[before.length - 1]?.seq ?? 0))].slice(-2_000));
    }, last ? 500 : 0);
    return () => clearTimeout(timer);
  }, [head, last]);
  const more = first > 1 ? () => void read(Math.max(0, first - 1 - PAGE), Math.min(PAGE, first - 1), (before, got) => [...got.filter((one) => one.seq < before[0]!.seq), ...before]) : null;
  return { records, more, trouble };
}

export function Events({ session }: { session: SessionInfo }) {
  const { records, more, trouble } = useRecords(session);
  const [kind, setKind] = useState("");
  const [open, setOpen] = useState<number | null>(null);
  const name = (record: WireRecord) => {
    const update = record.fact["update"] as { sessionUpdate?: string } | undefined;
    return update ? `update: ${update.sessionUpdate ?? "?"}` : record.fact.kind;
  };
  const kinds = [...new Set(records.map(name))].sort();
  return (
    <div className="events">
      <select aria-label="Kind" value={kind} onChange={(event) => setKind(event.target.value)}>
        <option value="">all kinds</option>
        {kinds.map((one) => <option key={one}>{one}</option>)}
      </select>
      {trouble && <p className="error-text">{trouble}</p>}
      {more && <button type="button" className="link more" onClick={more}>Earlier</button>}
      <ol>
        {records.filter((record) => !kind || name(record) === kind).map((record) => (
          <li key={record.seq}>
            <button type="button" aria-expanded={open === record.seq} onClick={() => setOpen(open === record.seq ? null : record.seq)}>
              <span className="n">{record.seq}</span> <span>{visible(name(record))}</span> <time>{clock(record.at_ms)}</time>
            </button>
            {open === record.seq && <pre className="plain">{visible(JSON.stringify(record, null, 2).slice(0, 100_000))}</pre>}
          </li>
        ))}
      </ol>
    </div>
  );
}

/** What the agent wrote to its standard error, how it began and ended, and lines that nobody understood. */
export function ConsoleTab({ session }: { session: SessionInfo }) {
  const { records, more } = useRecords(session);
  const lines = records.flatMap((record): { seq: number; tone: string; text: string }[] => {
    const { fact } = record;
    const text = (field: string) => String(fact[field] ?? "");
    switch (fact.kind) {
      case "agent_started": return [{ seq: record.seq, tone: "quiet", text: `agent started, number ${text("generation")}` }];
      case "agent_ready": return [{ seq: record.seq, tone: "quiet", text: `agent ready (${text("how")})` }];
      case "agent_exited": return [{ seq: record.seq, tone: "warn", text: fact["signal"] ? `agent ended by signal ${text("signal")}` : `agent ended with exit code ${text("code")}` }];
      case "agent_stderr": return [{ seq: record.seq, tone: "bad", text: text("text") }];
      case "unparsed": return [{ seq: record.seq, tone: "warn", text: `${text("why")}: ${text("text").slice(0, 4_000)}` }];
      case "agent_silent":
      case "agent_waits":
      case "agent_request_refused": return [{ seq: record.seq, tone: "warn", text: `${fact.kind.replaceAll("_", " ")}: ${text("request") || text("why") || text("method")}` }];
      default: return [];
    }
  });
  return (
    <div className="console-tab">
      {more && <button type="button" className="link more" onClick={more}>Look further back</button>}
      {lines.length === 0 && <p className="hint pad">The agent has written nothing here. Its standard error is kept when it fails.</p>}
      {lines.map((line) => <pre key={line.seq} className={`plain ${line.tone}`}>{visible(line.text)}</pre>)}
    </div>
  );
}
