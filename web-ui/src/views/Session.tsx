// One session: what it is, its conversation, what it asks, where to write.

import { lazy, Suspense, useEffect, useState } from "react";
import { actions, hub, useApp } from "../app";
import { isEnded, type Member, type SessionInfo } from "../protocol";
import { forget } from "../state/offline";
import { groupOf, titleOf } from "../state/model";
import { go, showSession } from "../state/route";
import { recall, remember } from "../state/kept";
import { copy } from "../ui/CopyButton";
import { Confirm } from "../ui/Dialog";
import { Icon, StateDot } from "../ui/Icon";
import { Menu } from "../ui/Menu";
import { money, shortPath, visible } from "../ui/text";
import { Dock } from "./Approvals";
import { Composer, Queue } from "./Composer";
import { Transcript } from "./Transcript";

const Details = lazy(() => import("./Details"));

export function Session({ id, seq }: { id: string; seq: number | null }) {
  const session = useApp((state) => state.sessions.get(id));
  const listed = useApp((state) => state.listed);
  const known = session !== undefined;
  useEffect(() => {
    hub.open(id);
    return () => hub.open(null);
  }, [id, known, listed]);
  const [details, setDetails] = useState(recall("details") === "on");
  const toggle = () => {
    remember("details", details ? null : "on");
    setDetails(!details);
  };
  if (!session) return <main className="main"><Missing id={id} /></main>;
  return (
    <>
      <main className="main" aria-label={titleOf(session)}>
        <Header session={session} details={details} onDetails={toggle} />
        <Transcript key={id} session={session} seq={seq} />
        <Below session={session} />
      </main>
      {details && <Suspense fallback={<aside className="details" />}><Details session={session} onClose={toggle} /></Suspense>}
    </>
  );
}

/** A link may lead to a session that is in no list: one of the older ended ones, or none at all. */
function Missing({ id }: { id: string }) {
  const listed = useApp((state) => state.listed);
  const [why, setWhy] = useState<string | null>(null);
  useEffect(() => {
    if (!listed) return;
    let wanted = true;
    hub.socket.request("get_session", { session_id: id }, true).then(
      ({ session }) => hub.store.set((state) => ({ sessions: new Map(state.sessions).set(session.id, session) })),
      (error: Error) => wanted && setWhy(error.message),
    );
    return () => {
      wanted = false;
    };
  }, [id, listed]);
  return (
    <div className="home">
      {why ? <><p>{why}</p><a className="button" href="#/">All sessions</a></> : <span className="spinner" role="status" aria-label="Loading" />}
    </div>
  );
}

function Below({ session }: { session: SessionInfo }) {
  const gone = useApp((state) => state.gone.has(session.id));
  const [kept, setKept] = useState(false);
  const looksOnly = useApp((state) => state.looksOnly);
  if (gone && kept) return <p className="hint pad below">A copy kept by this browser.</p>;
  if (gone) {
    return (
      <section className="gone-bar" aria-label="This session is gone">
        <p><strong>The daemon does not have this session any more.</strong> What you see is a copy that this browser keeps.</p>
        <button type="button" onClick={() => setKept(true)}>Keep the copy</button>
        <button
          type="button" className="danger"
          onClick={() => {
            void forget(session.id);
            hub.drop(session.id);
            go("#/", true);
          }}
        >
          Remove it
        </button>
      </section>
    );
  }
  if (looksOnly) return <p className="hint pad below">This page may look at the session and change nothing.</p>;
  return (
    <div className="below">
      <Dock session={session} />
      <Queue session={session} />
      {session.deleted_at !== null ? (
        <section className="gone-bar"><p>This session was deleted.</p><button type="button" onClick={() => void actions.try("undelete_session", { session_id: session.id }, "Not brought back")}>Bring it back</button></section>
      ) : isEnded(session.state) ? (
        <section className="gone-bar">
          <p>{session.reason ? visible(session.reason) : `This session has ${session.state === "finished" ? "finished" : session.state === "killed" ? "been ended" : session.state}.`}</p>
          <button type="button" className="primary" onClick={() => void actions.resume(session.id)}><Icon name="play" size={14} /> Resume</button>
        </section>
      ) : (
        <Composer key={session.id} session={session} />
      )}
    </div>
  );
}

const WORDS: { [state: string]: string } = {
  starting: "Starting", idle: "Idle", processing: "Working", waiting_permission: "Needs you", suspended: "Paused", finished: "Finished",
  failed: "Failed", killed: "Ended", expired: "Expired",
};

function Header({ session, details, onDetails }: { session: SessionInfo; details: boolean; onDetails(): void }) {
  const [renaming, setRenaming] = useState<string | null>(null);
  const [ending, setEnding] = useState(false);
  const ended = isEnded(session.state);
  const group = groupOf(session);
  const connected = useApp((state) => state.connection.at === "open");
  const save = () => {
    if (renaming !== null && renaming.trim() !== (session.name ?? "")) void actions.rename(session, renaming.trim() || null);
    setRenaming(null);
  };
  return (
    <header className="head">
      <a className="icon-button back" href="#/" aria-label="Back to the list"><Icon name="back" /></a>
      <div className="head-title">
        <h1>
          <StateDot group={group} />
          {renaming === null ? (
            <button type="button" className="title" title="Rename" onClick={() => setRenaming(session.name ?? "")}>{visible(titleOf(session))}</button>
          ) : (
            <input
              autoFocus aria-label="Name" value={renaming} placeholder="letters, digits, . _ -" maxLength={64} onBlur={save} onChange={(event) => setRenaming(event.target.value)}
              onKeyDown={(event) => {
                if (event.key === "Enter") save();
                if (event.key === "Escape") setRenaming(null);
              }}
            />
          )}
        </h1>
        <p className="head-facts">
          <span className={`state ${group}`}>{WORDS[session.state]}</span>
          <span>{session.agent}</span>
          <span className="mono path" title={visible(session.cwd)}>{visible(shortPath(session.cwd))}</span>
          {session.worktree && <span className="mono"><Icon name="branch" size={12} />{visible(session.worktree.branch)}</span>}
          {session.cost && session.cost.amount > 0 && <span>{money(session.cost)}</span>}
          {connected && session.link !== "live" && session.link !== "none" && <span className="tag warn">{session.link === "lost" ? "the agent's runner is lost" : "reconnecting to the agent"}</span>}
          {session.reason && !ended && session.state !== "suspended" && <span className="tag warn" title={visible(session.reason)}>{visible(session.reason)}</span>}
        </p>
      </div>
      <Attached session={session} />
      <button type="button" className={`icon-button${details ? " on" : ""}`} aria-label="Details" aria-pressed={details} title="Details (t)" onClick={onDetails}><Icon name="side" /></button>
      <Menu label="What to do with this session" items={[
        session.state === "suspended" || ended
          ? { label: "Resume", icon: "play", run: () => void actions.resume(session.id) }
          : { label: "Pause", hint: "stops the agent, keeps everything", icon: "pause", run: () => void actions.suspend(session.id) },
        { label: "Fork", hint: "another session that goes on from here", icon: "branch", run: () => void actions.fork(session.id).then((made) => made && showSession(made.id)) },
        { label: "Copy link", icon: "link", run: () => void copy(`${location.origin}${location.pathname}#/s/${session.id}`) },
        { label: "Copy id", icon: "copy", run: () => void copy(session.id) },
        { label: "Rename", icon: "edit", run: () => setRenaming(session.name ?? "") },
        null,
        !ended ? { label: "Finish", hint: "ends it well", icon: "check", run: () => void actions.finish(session.id) } : null,
        !ended ? { label: "End session…", icon: "stop", danger: true, run: () => setEnding(true) } : { label: "Delete", icon: "trash", danger: true, run: () => void actions.remove(session.id).then(() => go("#/", true)) },
      ]}><Icon name="more" /></Menu>
      {ending && (
        <Confirm
          title={`End ${titleOf(session)}?`} action="End session" onClose={() => setEnding(false)} onYes={() => void actions.kill(session.id)}
          text={`The agent and everything it started are stopped at once${session.state === "processing" ? ", in the middle of its turn" : ""}${session.queued ? `; ${session.queued} prompts that wait are dropped` : ""}. The conversation is kept, and the session can be resumed.`}
        />
      )}
    </header>
  );
}

/** Who is attached, and who owns it: to take over or hand over. */
function Attached({ session }: { session: SessionInfo }) {
  const [members, setMembers] = useState<Member[]>([]);
  const [changes, setChanges] = useState(0);
  const joined = useApp((state) => state.windows.get(session.id)?.joined);
  useEffect(() => {
    let wanted = true;
    hub.socket.request("who", { session_id: session.id }, true).then((answer) => wanted && setMembers(answer.members), () => undefined);
    return () => {
      wanted = false;
    };
  }, [session.id, session.subscriber_count, session.owner_id, joined, changes]);
  const owner = session.is_owner ? "you own it" : session.owner_id ? `owned by ${session.owner_label ?? "somebody"}` : "nobody owns it";
  return (
    <Menu
      label={`${session.subscriber_count} attached, ${owner}`} className={`attached${session.is_owner ? " own" : ""}`}
      items={[
        ...members.map((member) => ({
          label: `${member.identity ?? `client ${member.client_id.slice(0, 8)}`}${member.is_you ? " (this window)" : ""}`,
          hint: [member.is_owner ? "owner" : member.role, member.connected ? "" : "away", session.is_owner && !member.is_you && member.role === "writer" ? "hand over" : ""].filter(Boolean).join(" · "),
          icon: member.is_owner ? "crown" : "people",
          disabled: !(session.is_owner && !member.is_you && member.role === "writer"),
          run: () => void actions.transfer(session.id, member.client_id),
        })),
        ...(members.length && !session.is_owner ? [null] : []),
        ...(!session.is_owner ? [{ label: "Take over", hint: "this window owns it then", icon: "crown", run: () => void actions.take(session.id).then(() => setChanges((n) => n + 1)) }] : []),
      ]}
    >
      <Icon name={session.is_owner ? "crown" : "people"} size={14} /> {session.subscriber_count}
    </Menu>
  );
}
