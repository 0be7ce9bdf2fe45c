// Every session at a glance, grouped by what it wants of a person. Live without polling.
//
// Invariant: groups come in one order; inside of each, who came into it last stands first. So a row moves only when
// something changed for a person, never because it is at work or was looked at.

import { memo, useDeferredValue, useMemo, useRef, useState, type KeyboardEvent } from "react";
import { useApp } from "../app";
import type { Permission, SessionInfo } from "../protocol";
import { recallJson, remember } from "../state/kept";
import { groupOf, GROUPS, titleOf, type Group } from "../state/model";
import { go, showSession, useRoute } from "../state/route";
import { Icon, StateDot } from "../ui/Icon";
import { useNow } from "../ui/clock";
import { age, money, shortPath, visible } from "../ui/text";
import { Menu } from "../ui/Menu";
import { commandText } from "./Approvals";

export function Sidebar({ onNew }: { onNew(): void }) {
  const sessions = useApp((state) => state.sessions);
  const since = useApp((state) => state.since);
  const listed = useApp((state) => state.listed);
  const ended = useApp((state) => state.ended);
  const [search, setSearch] = useState("");
  const [agent, setAgent] = useState<string | null>(null);
  const [folded, setFolded] = useState<Group[]>(() => recallJson<Group[]>("folded", ["finished"]));
  const wanted = useDeferredValue(search.trim().toLowerCase());
  const route = useRoute();
  const current = route.at === "session" ? route.id : null;
  const list = useRef<HTMLDivElement>(null);

  const groups = useMemo(() => {
    const found = new Map<Group, SessionInfo[]>(GROUPS.map(({ id }) => [id, []]));
    for (const session of sessions.values()) {
      if (session.deleted_at !== null || (agent && session.agent !== agent) || !fits(session, wanted)) continue;
      found.get(groupOf(session))!.push(session);
    }
    const when = (session: SessionInfo) => since.get(session.id) ?? session.last_activity_ms;
    for (const group of found.values()) group.sort((a, b) => when(b) - when(a) || (a.id < b.id ? -1 : 1));
    return found;
  }, [sessions, since, wanted, agent]);
  const agents = useMemo(() => [...new Set([...sessions.values()].map((session) => session.agent))].sort(), [sessions]);
  const waiting = groups.get("needs")!.length;

  const keys = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const rows = [...(list.current?.querySelectorAll<HTMLElement>("a.session") ?? [])];
    const at = rows.indexOf(document.activeElement as HTMLElement);
    const next = at < 0 ? (step > 0 ? rows[0] : undefined) : rows[at + step];
    if (next) {
      next.focus();
      event.preventDefault();
    }
  };
  const fold = (group: Group) => {
    const next = folded.includes(group) ? folded.filter((one) => one !== group) : [...folded, group];
    setFolded(next);
    remember("folded", JSON.stringify(next));
  };

  return (
    <nav className="sidebar" aria-label="Sessions" onKeyDown={keys}>
      <header className="sidebar-head">
        <a className="brand" href="#/" aria-label="vibes, all sessions"><img src="/icon.svg" alt="" width="22" height="22" /> vibes</a>
        <a className={`icon-button${waiting ? " hot" : ""}`} href="#/inbox" aria-label={`Approvals, ${waiting} sessions wait`} title="Approvals (i)"><Icon name="inbox" />{waiting > 0 && <b>{waiting}</b>}</a>
        <Menu label="More" items={[
          { label: "Costs", icon: "coin", run: () => go("#/costs") },
          { label: "Settings", icon: "gear", run: () => go("#/settings") },
        ]}><Icon name="more" /></Menu>
        <button type="button" className="primary" onClick={onNew} title="New session (n)"><Icon name="plus" /> New</button>
      </header>
      <div className="search">
        <Icon name="search" size={14} />
        <input id="search" type="search" placeholder="Search sessions" aria-label="Search sessions" value={search} onChange={(event) => setSearch(event.target.value)} />
        {agents.length > 1 && (
          <Menu label={`Filter by agent: ${agent ?? "all"}`} className={`filter${agent ? " on" : ""}`} items={[
            { label: "All agents", checked: agent === null, run: () => setAgent(null) },
            ...agents.map((one) => ({ label: one, checked: agent === one, run: () => setAgent(one) })),
          ]}>{agent ?? "all"}</Menu>
        )}
      </div>
      <div className="groups" ref={list}>
        {GROUPS.map(({ id, title }) => {
          const members = groups.get(id)!;
          if (members.length === 0) return null;
          const closed = folded.includes(id) && !wanted;
          return (
            <section key={id} aria-label={title}>
              <h2>
                <button type="button" aria-expanded={!closed} onClick={() => fold(id)}>
                  <StateDot group={id} /> {title} <span className="count">{members.length}</span>
                  <Icon name={closed ? "right" : "down"} size={12} />
                </button>
              </h2>
              {!closed && members.map((session) => <SessionRow key={session.id} session={session} current={session.id === current} />)}
            </section>
          );
        })}
        {sessions.size === 0 && listed && <p className="empty">No sessions yet. <button type="button" className="link" onClick={onNew}>Start one</button>, here or with <code>vibes run</code> in a terminal.</p>}
        {sessions.size > 0 && [...groups.values()].every((group) => group.length === 0) && <p className="empty">No session has “{search}”.</p>}
        {ended > 0 && !wanted && <p className="hint pad">{ended} older ones have ended; <code>vibes ls --all</code> lists them.</p>}
      </div>
    </nav>
  );
}

/** What is asked, in the words of the request rather than the agent's. */
function asked(permission: Permission): string {
  return commandText(permission.raw_input) ?? permission.diff?.path ?? permission.claim_title ?? permission.tool;
}

function fits(session: SessionInfo, text: string): boolean {
  if (!text) return true;
  return [session.name, session.cwd, session.description, session.preview, session.agent].some((one) => one?.toLowerCase().includes(text)) || session.id.startsWith(text);
}

const SessionRow = memo(function SessionRow({ session, current }: { session: SessionInfo; current: boolean }) {
  const now = useNow();
  // What is being read right now is not told as new for the moment until the daemon knows.
  const unread = useApp((state) => (state.reading === session.id ? 0 : (session.unread ?? 0)));
  const pulse = useApp((state) => state.pulses.get(session.id) ?? 0);
  const gone = useApp((state) => state.gone.has(session.id));
  const since = useApp((state) => state.since.get(session.id)) ?? session.last_activity_ms;
  const group = groupOf(session);
  const title = titleOf(session);
  const asks = session.pending_permissions.length;
  return (
    <a
      href={`#/s/${session.id}`} className={`session ${group}${current ? " current" : ""}${unread ? " unread" : ""}${gone ? " gone" : ""}`}
      aria-current={current ? "page" : undefined}
      onClick={(event) => {
        if (event.metaKey || event.ctrlKey || event.shiftKey) return;
        event.preventDefault();
        showSession(session.id);
      }}
    >
      <StateDot group={group} pulse={session.state === "processing" && now - pulse < 6_000} />
      <span className="line1">
        <span className="name">{visible(title)}</span><span className="sr">, {session.state.replace("_", " ")}, </span>
        {session.worktree && <Icon name="branch" size={12} />}
        {session.is_owner && <span className="own" title="This window owns it"><Icon name="crown" size={12} /><span className="sr">yours, </span></span>}
        <span className="age">{age(since, now)}</span>
      </span>
      <span className="line2">
        <span className="agent">{session.agent}</span>
        <span className="preview">{gone ? "gone from the daemon; a copy is kept here" : asks ? `asks: ${visible(asked(session.pending_permissions[0]!)).slice(0, 200)}` : visible(session.preview ?? shortPath(session.cwd))}</span>
        {session.link === "adopting" || session.link === "lost" ? <span className="tag warn">{session.link === "lost" ? "lost" : "reconnecting"}</span> : null}
        {session.queued > 0 && <span className="tag" title="Prompts that wait">{session.queued} queued</span>}
        {session.subscriber_count > 1 && <span className="tag" title="Attached"><Icon name="eye" size={11} />{session.subscriber_count}<span className="sr"> attached</span></span>}
        {session.cost && session.cost.amount > 0 && <span className="tag">{money(session.cost)}</span>}
        {unread > 0 && <b className="badge">{unread > 98 ? "99+" : unread}<span className="sr"> unread</span></b>}
      </span>
    </a>
  );
});
