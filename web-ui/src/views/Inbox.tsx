// All questions of all sessions, and what became of the last ones.

import { useEffect, useState } from "react";
import { hub, useApp } from "../app";
import type { Approval } from "../protocol";
import { titleOf } from "../state/model";
import { who } from "../state/notices";
import { Icon } from "../ui/Icon";
import { age, visible } from "../ui/text";
import { useNow } from "../ui/clock";
import { Card } from "./Approvals";

export default function Inbox() {
  const sessions = useApp((state) => state.sessions);
  const waiting = [...sessions.values()].filter((session) => session.state === "waiting_permission").sort((a, b) => a.last_activity_ms - b.last_activity_ms);
  const [past, setPast] = useState<Approval[]>([]);
  const now = useNow();
  const count = waiting.reduce((sum, session) => sum + session.pending_permissions.length, 0);
  useEffect(() => {
    let wanted = true;
    hub.socket.request("list_approvals", { limit: 60 }, true).then((answer) => wanted && setPast(answer.approvals.filter((one) => one.resolved)), () => undefined);
    return () => {
      wanted = false;
    };
  }, [count]);
  return (
    <main className="main page" aria-label="Approvals">
      <header className="head"><a className="icon-button back" href="#/" aria-label="Back to the list"><Icon name="back" /></a><div className="head-title"><h1>Approvals</h1></div></header>
      <div className="page-body">
        {count === 0 && <p className="empty">Nothing waits for you.</p>}
        {waiting.flatMap((session, place) => session.pending_permissions.map((permission, at) => (
          <div key={permission.permission_id} className="inbox-item">
            <a className="hint" href={`#/s/${session.id}`}>{visible(titleOf(session))} · {session.agent}</a>
            <Card session={session} permission={permission} keys={place === 0 && at === 0} name={titleOf(session)} />
          </div>
        )))}
        {past.length > 0 && <h2>Before</h2>}
        <ul className="past">
          {past.map((one) => (
            <li key={one.permission.permission_id} className={one.resolved!.outcome}>
              <Icon name={one.resolved!.outcome === "allowed" ? "check" : "cross"} size={14} />
              <span className="mono cut">{visible(commandOf(one))}</span>
              <a href={`#/s/${one.session_id}`}>{visible(one.session_name ?? one.agent)}</a>
              <span className="hint">{one.resolved!.outcome} {one.resolved!.rule ? `by rule ${visible(one.resolved!.rule)}` : one.resolved!.by ? `by ${visible(who(one.resolved!.by))}` : ""} · {age(one.resolved_ms ?? one.asked_ms, now)}</span>
            </li>
          ))}
        </ul>
      </div>
    </main>
  );
}

function commandOf({ permission }: Approval): string {
  const input = permission.raw_input;
  const command = input && typeof input === "object" && !Array.isArray(input) ? input["command"] : null;
  return (typeof command === "string" ? command : (permission.diff?.path ?? permission.claim_title ?? permission.tool)).slice(0, 200);
}
