// Who may use the web: tokens with what they let do, made and taken back; and what was done with them.
//
// Invariant: a secret is on screen once, when it was made, and nowhere in this browser's storage.

import { useEffect, useState, type FormEvent } from "react";
import { actions, hub, useApp } from "../app";
import type { AuditEntry, Token } from "../protocol";
import { titleOf } from "../state/model";
import { copy } from "../ui/CopyButton";
import { Confirm } from "../ui/Dialog";
import { Icon } from "../ui/Icon";
import { age, visible } from "../ui/text";
import { useNow } from "../ui/clock";

function ago(ms: number, now: number): string {
  const words = age(ms, now);
  return words === "now" ? "just now" : `${words} ago`;
}

const TIMES: readonly (readonly [string, number])[] = [["an hour", 3600], ["a day", 86_400], ["a week", 604_800], ["until revoked", 0]];

export default function Tokens() {
  const sessions = useApp((state) => state.sessions);
  const [tokens, setTokens] = useState<Token[] | null>(null);
  const [entries, setEntries] = useState<AuditEntry[]>([]);
  const [name, setName] = useState("");
  const [role, setRole] = useState<Token["role"]>("view");
  const [session, setSession] = useState("");
  const [time, setTime] = useState(86_400);
  const [secret, setSecret] = useState<{ text: string; link: boolean } | null>(null);
  const [revoking, setRevoking] = useState<Token | null>(null);
  const now = useNow();
  const read = () => {
    hub.socket.request("list_tokens", {}, true).then((answer) => setTokens(answer.tokens), () => setTokens(null));
    hub.socket.request("list_audit", { limit: 50 }, true).then((answer) => setEntries(answer.entries), () => undefined);
  };
  useEffect(read, []);
  if (!tokens) return null;
  const make = async (event: FormEvent) => {
    event.preventDefault();
    const answer = await actions.try("create_token", { name: name.trim(), role, ...(session ? { session_id: session } : {}), ...(time ? { expires_s: time } : {}) }, "No token was made");
    if (!answer) return;
    setSecret(session ? { link: true, text: `${location.origin}/#token=${answer.secret}&session=${session}` } : { link: false, text: answer.secret });
    setName("");
    read();
  };
  return (
    <>
      <section>
        <h2>Tokens</h2>
        <ul className="tokens">
          {tokens.map((token) => (
            <li key={token.id}>
              <span>
                <strong>{visible(token.name)}</strong> <span className="tag">{token.role}</span>
                {token.session_id && <span className="hint"> only {visible(sessions.get(token.session_id)?.name ?? token.session_id.slice(0, 8))}</span>}
                <small className="hint"> made {ago(token.created_at * 1000, now)}{token.expires_at ? `, good until ${new Date(token.expires_at * 1000).toLocaleString()}` : ""}</small>
              </span>
              <button type="button" className="danger" onClick={() => setRevoking(token)}>Revoke</button>
            </li>
          ))}
        </ul>
        <form className="token-form" onSubmit={(event) => void make(event)}>
          <input required aria-label="Name of the token" placeholder="for whom or what" maxLength={64} value={name} onChange={(event) => setName(event.target.value)} />
          <select aria-label="What it lets do" value={role} onChange={(event) => setRole(event.target.value as Token["role"])}><option value="view">looks</option><option value="edit">drives sessions</option><option value="admin">everything</option></select>
          <select aria-label="For which session" value={session} onChange={(event) => setSession(event.target.value)}>
            <option value="">all sessions</option>
            {[...sessions.values()].map((one) => <option key={one.id} value={one.id}>{titleOf(one)}</option>)}
          </select>
          <select aria-label="How long" value={time} onChange={(event) => setTime(Number(event.target.value))}>{TIMES.map(([text, seconds]) => <option key={seconds} value={seconds}>{text}</option>)}</select>
          <button type="submit" disabled={!name.trim()}>Make</button>
        </form>
        {secret && (
          <p className="secret" role="status">
            <span>{secret.link ? `Whoever has this link ${role === "view" ? "sees" : "drives"} this one session. It is shown once:` : "This is shown once:"}</span> <code>{secret.text}</code>
            <button type="button" onClick={() => void copy(secret.text)}><Icon name="copy" size={13} /> Copy</button>
            <button type="button" className="link" onClick={() => setSecret(null)}>Done</button>
          </p>
        )}
        {revoking && <Confirm title={`Revoke ${revoking.name}?`} text="Whoever uses it is cut off at once." action="Revoke" onClose={() => setRevoking(null)} onYes={() => void actions.try("revoke_token", { id: revoking.id }, "Not revoked").then(read)} />}
      </section>
      {entries.length > 0 && (
        <section>
          <details className="fold">
            <summary>What was done over the web</summary>
            <ul>{entries.map((one, at) => <li key={at}>{ago(one.at_ms, now)}: {visible(one.name)} · {one.request} {one.session_id ? visible(one.session_id.slice(0, 8)) : ""} · {one.outcome}</li>)}</ul>
          </details>
        </section>
      )}
    </>
  );
}
