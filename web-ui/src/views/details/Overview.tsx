// What a session is, in facts; and how its agent was started.

import { useEffect, useState, type ReactNode } from "react";
import { hub } from "../../app";
import type { AnswerOf, SessionInfo } from "../../protocol";
import { titleOf } from "../../state/model";
import { money, shortPath, visible } from "../../ui/text";

export function Facts({ facts }: { facts: (readonly [string, ReactNode] | null)[] }) {
  return (
    <dl className="facts">
      {facts.map((fact) => fact && fact[1] !== null && fact[1] !== undefined && fact[1] !== "" && (
        <div key={fact[0]}><dt>{fact[0]}</dt><dd>{fact[1]}</dd></div>
      ))}
    </dl>
  );
}

const date = (seconds: number) => new Date(seconds * 1000).toLocaleString();

export function Overview({ session }: { session: SessionInfo }) {
  return (
    <>
      <Facts facts={[
        ["Name", titleOf(session)],
        ["State", `${session.state.replace("_", " ")}${session.reason ? `: ${session.reason}` : ""}`],
        ["Agent", `${session.agent}, started ${session.generation} ${session.generation === 1 ? "time" : "times"}`],
        ["Agent's link", session.link],
        ["Directory", <span className="mono">{visible(shortPath(session.cwd))}</span>],
        session.worktree ? ["Branch", <span className="mono">{visible(session.worktree.branch)} from {visible(session.worktree.base)}</span>] : null,
        ["Owner", session.is_owner ? "this window" : (session.owner_label ?? (session.owner_id ? session.owner_id.slice(0, 8) : "nobody"))],
        ["Owned since", session.owned_since ? date(session.owned_since) : null],
        ["Attached", String(session.subscriber_count)],
        ["Turns", String(session.turns)],
        ["Records", String(session.head)],
        ["Cost", session.cost ? money(session.cost) : null],
        ["Created", date(session.created_at)],
        ["Last activity", date(session.last_activity_at)],
        session.parent_id ? ["Goes on from", <a href={`#/s/${session.parent_id}${session.forked_at ? `@${session.forked_at}` : ""}`}>{hub.name(session.parent_id)}</a>] : null,
        ["Description", session.description ? visible(session.description) : null],
        ["Id", <span className="mono">{session.id}</span>],
      ]} />
    </>
  );
}

export function Config({ session }: { session: SessionInfo }) {
  const [answer, setAnswer] = useState<AnswerOf<"get_session"> | null>(null);
  useEffect(() => {
    let wanted = true;
    hub.socket.request("get_session", { session_id: session.id }, true).then((got) => wanted && setAnswer(got), () => undefined);
    return () => {
      wanted = false;
    };
  }, [session.id, session.version, session.generation]);
  const launch = answer?.launch as { argv?: string[]; env_names?: string[]; once?: boolean } | undefined;
  return (
    <Facts facts={[
      ["Started as", launch?.argv ? <code>{visible(launch.argv.join(" "))}</code> : null],
      ["Environment", launch?.env_names?.length ? launch.env_names.join(" ") : null],
      ["Options", <pre className="plain">{visible(JSON.stringify(session.options, null, 2))}</pre>],
      ["When the last one leaves", session.orphan_policy],
      ["Ends after its turn", launch?.once ? "yes" : null],
      ["Time to live", session.ttl_s ? `${session.ttl_s} s` : null],
      ["Metadata", Object.keys(session.metadata).length ? <pre className="plain">{visible(JSON.stringify(session.metadata, null, 2))}</pre> : null],
      ["Version", String(session.version)],
    ]} />
  );
}
