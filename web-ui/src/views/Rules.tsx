// Standing rules: what is in force, and, for who may, another file of them.
//
// Invariant: nothing is put in force that the daemon has not called right for exactly this text.

import { useEffect, useState } from "react";
import { actions, hub } from "../app";
import { role } from "../net/auth";
import type { AppliedRules } from "../protocol";
import { words } from "../state/hub";
import { visible } from "../ui/text";

const EMPTY = '# The most restrictive rule wins; what no rule covers waits for a person.\n# scope = "all" before the first rule: for all sessions, not only those of who writes this.\nversion = 1\n\n[[rule]]\nname = "look"\ndecision = "allow"\ntool = "read"\n';

export function Rules() {
  const [rules, setRules] = useState<AppliedRules[]>([]);
  const [may, setMay] = useState(false);
  const [text, setText] = useState<string | null>(null);
  const [said, setSaid] = useState<{ text: string; good: boolean; words: string } | null>(null);
  const read = () => void hub.socket.request("get_rules", {}, true).then((answer) => setRules(answer.applied), () => undefined);
  useEffect(() => {
    read();
    void role().then((mine) => setMay(mine === "admin"));
  }, []);
  const check = async (text: string) => {
    try {
      await hub.socket.request("apply_rules", { text, dry_run: true });
      setSaid({ text, good: true, words: "It is right." });
    } catch (error) {
      setSaid({ text, good: false, words: words(error) });
    }
  };
  const apply = async (text: string) => {
    if (!(await actions.try("apply_rules", { text }, "The rules were not put in force"))) return;
    setText(null);
    setSaid(null);
    read();
  };
  const checked = said !== null && said.text === text;
  return (
    <section className="rules">
      <h2>Standing rules</h2>
      {rules.length === 0 && <p className="hint">No rules are in force: every question waits for a person.</p>}
      {rules.map((one) => (
        <details key={one.hash} className="fold">
          <summary>{one.person ? visible(one.person) : "This machine"}: {one.rules} {one.rules === 1 ? "rule" : "rules"}, {one.scope === "all" ? "for all sessions" : "for their own sessions"}</summary>
          <pre className="plain">{visible(one.text)}</pre>
          {may && text === null && one.person !== null && <button type="button" onClick={() => setText(one.text)}>Edit</button>}
        </details>
      ))}
      {may && text === null && !rules.some((one) => one.person !== null) && <button type="button" onClick={() => setText(EMPTY)}>Write rules</button>}
      {text !== null && (
        <div className="form">
          <label>Rules <textarea className="mono" rows={12} spellCheck={false} value={text} onChange={(event) => setText(event.target.value)} /></label>
          {checked && <p className={said.good ? "hint" : "error-text"} role="status">{visible(said.words)}</p>}
          <footer>
            <button type="button" onClick={() => (setText(null), setSaid(null))}>Cancel</button>
            <button type="button" onClick={() => void check(text)}>Check</button>
            <button type="button" className="primary" disabled={!checked || !said.good} onClick={() => void apply(text)}>Put in force</button>
          </footer>
        </div>
      )}
    </section>
  );
}
