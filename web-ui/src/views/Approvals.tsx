// What agents ask, and the answers a person can give.
//
// Invariant: never inside the transcript, so that nothing an agent prints can look like it. What is shown is the request
// itself, whole or with the number of lines that are folded; the agent's own words for it are marked as such. The answer
// carries the hash of the request that was on screen, and a key counts only when the card stood long enough to be read.

import { lazy, Suspense, useEffect, useRef, useState } from "react";
import { actions, useApp } from "../app";
import type { FileChange, Json, JsonObject, Permission, PermissionOption, SessionInfo } from "../protocol";
import { Icon } from "../ui/Icon";
import { useNow } from "../ui/clock";
import { shortPath, span, visible } from "../ui/text";
import { answering, Questions } from "./Questions";
import { jsonText } from "./rows";

const Diff = lazy(() => import("./Diff"));
/** A key that was meant for something else must not answer a card that just came. */
const SETTLE_MS = 400;
const MOST_LINES = 14;

/** The questions of one session, above its composer. The first takes the keys. */
export function Dock({ session }: { session: SessionInfo }) {
  const asked = session.state === "waiting_permission" ? session.pending_permissions : [];
  if (asked.length === 0) return null;
  return (
    <section className="dock" aria-label="Questions of the agent">
      {asked.slice(0, 3).map((permission, at) => <Card key={permission.permission_id} session={session} permission={permission} keys={at === 0} />)}
      {asked.length > 3 && <p className="hint pad">{asked.length - 3} more wait behind these.</p>}
    </section>
  );
}

export function Card({ session, permission, keys, name }: { session: SessionInfo; permission: Permission; keys: boolean; name?: string }) {
  const busy = useApp((state) => state.answering.has(permission.permission_id));
  const offline = useApp((state) => state.connection.at !== "open");
  const now = useNow();
  const since = useRef(performance.now());
  const [reason, setReason] = useState<string | null>(null);
  const answer = (option: PermissionOption) => void actions.answer(session.id, permission, { option_id: option.option_id }, reason ?? undefined);
  const asks = answering(permission);
  // Questions of several parts are answered in their form.
  const options = asks === null ? permission.options : permission.options.filter((option) => option.option_id !== asks);
  const allow = options.find((option) => option.kind === "allow_once");
  const deny = options.find((option) => option.kind === "reject_once") ?? options.find((option) => option.kind.startsWith("reject"));

  useEffect(() => {
    if (!keys || busy || offline) return;
    const pressed = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.repeat || performance.now() - since.current < SETTLE_MS) return;
      const target = event.target as HTMLElement;
      const typing = target.matches("input, textarea, select, [contenteditable]") || target.closest("dialog, [role=menu]") !== null;
      if (typing && !event.altKey) return;
      const key = event.code.startsWith("Key") ? event.code.slice(3).toLowerCase() : event.code.startsWith("Digit") ? event.code.slice(5) : event.key;
      const option = key === "a" ? allow : key === "d" ? deny : options[Number(key) - 1];
      if (!option) return;
      event.preventDefault();
      answer(option);
    };
    document.addEventListener("keydown", pressed);
    return () => document.removeEventListener("keydown", pressed);
  });

  const changes: FileChange[] = [...(permission.diff ? [permission.diff] : []), ...(permission.more_diffs ?? [])];
  const left = permission.deadline_ms ? permission.deadline_ms - now : null;
  return (
    <article className="card" aria-label={`${session.agent} asks: ${permission.tool}`}>
      <header>
        <Icon name="warn" size={15} />
        <strong>{name ? visible(name) : session.agent} asks to {verb(permission.tool)}</strong>
        <span className="hint mono" title={visible(permission.cwd)}>in {visible(shortPath(permission.cwd))}</span>
        {left !== null && <span className="tag warn">denied in {span(Math.max(0, left))}</span>}
      </header>
      <Request input={permission.raw_input} hideDiffs={changes.length > 0} />
      {changes.length > 0 && (
        <div className="card-diffs">
          <Suspense fallback={<div className="wait-diff" />}>{changes.map((change, at) => <Diff key={at} change={change} />)}</Suspense>
        </div>
      )}
      {permission.paths && permission.paths.length > 0 && <p className="hint mono">{permission.paths.map((path) => visible(path)).join("  ")}</p>}
      {permission.claim_title && permission.claim_title !== commandText(permission.raw_input) && <p className="claim"><span>The agent says:</span> {visible(permission.claim_title)}</p>}
      {asks !== null && <Questions permission={permission} busy={busy || offline} onAnswer={(answers) => void actions.answer(session.id, permission, { option_id: asks, answers })} />}
      {reason !== null && <input className="reason" autoFocus aria-label="Reason" placeholder="A reason, recorded with the answer" value={reason} onChange={(event) => setReason(event.target.value)} />}
      <footer>
        {options.map((option, at) => (
          <button
            key={option.option_id} type="button" disabled={busy || offline}
            className={option === allow ? "primary" : option.kind.startsWith("reject") ? "danger" : undefined}
            title={`${option.kind.replace("_", " ")} (key ${option === allow ? "a or " : option === deny ? "d or " : ""}${at + 1})`} onClick={() => answer(option)}
          >
            {visible(option.name)} {keys && <kbd>{option === allow ? "A" : option === deny ? "D" : at + 1}</kbd>}
          </button>
        ))}
        {reason === null && <button type="button" className="link" onClick={() => setReason("")}>with a reason…</button>}
      </footer>
    </article>
  );
}

/** A few short values in one line, more of them below each other. */
function compact(rest: JsonObject): string {
  const line = JSON.stringify(rest);
  return line.length < 90 ? line : JSON.stringify(rest, null, 1);
}

function verb(tool: string): string {
  const verbs: { [tool: string]: string } = {
    execute: "run a command", edit: "change a file", delete: "delete", move: "move", read: "read", fetch: "fetch", search: "search", switch_mode: "switch its mode", think: "go on",
  };
  return verbs[tool] ?? `use ${visible(tool)}`;
}

/** The command of a request, when it has one. */
export function commandText(input: Json): string | null {
  if (!input || typeof input !== "object" || Array.isArray(input)) return null;
  const command = input["command"];
  if (typeof command === "string") return command;
  return Array.isArray(command) ? command.map((word) => (/[\s"'$\\]/.test(String(word)) ? JSON.stringify(word) : String(word))).join(" ") : null;
}

/** The request itself. Nothing of it is left out: what is not the command stands below it. */
function Request({ input, hideDiffs }: { input: Json; hideDiffs: boolean }) {
  const [all, setAll] = useState(false);
  const command = commandText(input);
  const rest = command !== null && input && typeof input === "object" && !Array.isArray(input) ? Object.fromEntries(Object.entries(input).filter(([name]) => name !== "command" && name !== "cwd")) : null;
  if (hideDiffs && command === null && !all) return <button type="button" className="link" onClick={() => setAll(true)}>Show the request as it came</button>;
  const text = visible(command ?? jsonText(input));
  const lines = text.split("\n");
  const cut = !all && (lines.length > MOST_LINES || text.length > 4_000);
  return (
    <>
      <pre className="request" tabIndex={0}>{cut ? lines.slice(0, MOST_LINES).join("\n").slice(0, 4_000) : text}</pre>
      {cut && <button type="button" className="link" onClick={() => setAll(true)}>Show all of it: {lines.length} lines, {text.length} characters</button>}
      {rest && Object.keys(rest).length > 0 && <pre className="request rest" tabIndex={0}>{visible(compact(rest)).slice(0, 20_000)}</pre>}
    </>
  );
}
