// What was spent, over all sessions.

import { useEffect, useState } from "react";
import { hub } from "../app";
import type { CostRow } from "../protocol";
import { words } from "../state/hub";
import { Icon } from "../ui/Icon";
import { count, money, visible } from "../ui/text";
import { Bars } from "./Bars";

const BY = ["day", "week", "agent", "model", "session", "directory"] as const;
const SINCE: readonly (readonly [string, string])[] = [["7d", "7 days"], ["30d", "30 days"], ["90d", "90 days"], ["", "all"]];

export default function Costs() {
  const [by, setBy] = useState<(typeof BY)[number]>("day");
  const [since, setSince] = useState("30d");
  const [rows, setRows] = useState<CostRow[] | string | null>(null);
  useEffect(() => {
    let wanted = true;
    hub.socket.request("get_costs", { by, ...(since ? { since } : {}) }, true).then((answer) => wanted && setRows(answer.costs), (error: unknown) => wanted && setRows(words(error)));
    return () => {
      wanted = false;
    };
  }, [by, since]);
  const tokens = (row: CostRow) => row.input_tokens + row.output_tokens + row.cache_read_tokens + row.cache_write_tokens;
  const list = Array.isArray(rows) ? rows : [];
  const paid = list.some((row) => row.cost);
  return (
    <main className="main page" aria-label="Costs">
      <header className="head"><a className="icon-button back" href="#/" aria-label="Back to the list"><Icon name="back" /></a><div className="head-title"><h1>Costs</h1></div></header>
      <div className="page-body">
        <div className="bar">
          <label>by <select value={by} onChange={(event) => setBy(event.target.value as "day")}>{BY.map((one) => <option key={one}>{one}</option>)}</select></label>
          <div className="segments" role="radiogroup" aria-label="Since">{SINCE.map(([value, text]) => <button key={value} type="button" role="radio" aria-checked={since === value} onClick={() => setSince(value)}>{text}</button>)}</div>
        </div>
        {typeof rows === "string" && <p className="error-text">{rows}</p>}
        {Array.isArray(rows) && rows.length === 0 && <p className="empty">Nothing was spent in this time.</p>}
        <Bars label={paid ? `Cost by ${by}` : `Tokens by ${by}`} bars={list.map((row) => ({ key: row.key, label: row.name ?? row.key, value: paid ? (row.cost?.amount ?? 0) : tokens(row), text: `${row.name ?? row.key}: ${row.cost ? money(row.cost) : `${count(tokens(row))} tokens`}` }))} />
        {list.length > 0 && (
          <div className="table" tabIndex={0} role="region" aria-label="Costs">
            <table>
              <thead><tr><th>{by}</th><th className="right">Turns</th><th className="right">In</th><th className="right">Out</th><th className="right">Cache</th><th className="right">Cost</th></tr></thead>
              <tbody>
                {list.map((row, at) => (
                  <tr key={at}>
                    <td className="cut">{by === "session" ? <a href={`#/s/${row.key}`}>{visible(row.name ?? row.key.slice(0, 8))}</a> : visible(row.key)}</td>
                    <td className="right">{row.turns}</td><td className="right">{count(row.input_tokens)}</td><td className="right">{count(row.output_tokens)}</td>
                    <td className="right">{count(row.cache_read_tokens + row.cache_write_tokens)}</td><td className="right">{row.cost ? money(row.cost) : ""}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </div>
    </main>
  );
}
