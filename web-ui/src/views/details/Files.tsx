// What a session changed: by its worktree where it has one, by what its agent said of its calls otherwise.

import { parsePatch } from "diff";
import { useEffect, useMemo, useState } from "react";
import { actions, hub, useApp } from "../../app";
import type { FileChange, SessionInfo } from "../../protocol";
import type { Item } from "../../state/items";
import { words } from "../../state/hub";
import { Icon } from "../../ui/Icon";
import { shortPath, visible } from "../../ui/text";
import Diff, { DiffLines, hunkLines } from "../Diff";
import { changesOf } from "../Tool";

const NOTHING: readonly Item[] = [];

export function Files({ session }: { session: SessionInfo }) {
  return session.worktree ? <WorktreeFiles session={session} /> : <SaidFiles session={session} />;
}

function SaidFiles({ session }: { session: SessionInfo }) {
  const items = useApp((state) => state.windows.get(session.id)?.transcript.items ?? NOTHING);
  const [open, setOpen] = useState<string | null>(null);
  const files = useMemo(() => {
    const found = new Map<string, FileChange[]>();
    for (const item of items) {
      if (item.kind !== "tool" || item.status === "failed") continue;
      const changes = changesOf(item.content);
      for (const change of changes) found.set(change.path, [...(found.get(change.path) ?? []), change]);
      if (changes.length === 0 && ["edit", "delete", "move"].includes(item.toolKind)) {
        for (const { path } of item.locations) if (!found.has(path)) found.set(path, []);
      }
    }
    return [...found].sort(([a], [b]) => (a < b ? -1 : 1));
  }, [items]);
  if (files.length === 0) return <p className="hint pad">No file was changed in what is loaded of this conversation, as far as the agent said. What a command does to files is not known; a session with a worktree shows all of it.</p>;
  return (
    <ul className="file-list">
      {files.map(([path, changes]) => (
        <li key={path}>
          <button type="button" aria-expanded={open === path} onClick={() => setOpen(open === path ? null : path)}>
            <Icon name="file" size={13} /> <span className="mono">{visible(shortPath(path))}</span> <span className="hint">{changes.length || ""}</span>
          </button>
          {open === path && changes.map((change, at) => <Diff key={at} change={change} />)}
        </li>
      ))}
    </ul>
  );
}

function WorktreeFiles({ session }: { session: SessionInfo }) {
  const [answer, setAnswer] = useState<{ diff?: string | null; truncated?: boolean } | string | null>(null);
  const [tries, setTries] = useState(0);
  useEffect(() => {
    let wanted = true;
    hub.socket.request("worktree", { session_id: session.id, action: "diff" }, true).then((got) => wanted && setAnswer(got), (error: unknown) => wanted && setAnswer(words(error)));
    return () => {
      wanted = false;
    };
  }, [session.id, session.turns, session.state, tries]);
  const files = useMemo(() => {
    if (!answer || typeof answer === "string" || !answer.diff) return [];
    try {
      return parsePatch(answer.diff);
    } catch {
      return [];
    }
  }, [answer]);
  return (
    <>
      <div className="bar">
        <span className="mono"><Icon name="branch" size={13} /> {visible(session.worktree!.branch)}</span>
        <button type="button" onClick={() => setTries(tries + 1)}>Refresh</button>
        <button type="button" onClick={() => void actions.try("worktree", { session_id: session.id, action: "merge" }, "Not merged").then((done) => done && hub.toast({ tone: "good", text: `Merged into ${session.worktree!.base}` }))}>Merge into {visible(session.worktree!.base)}</button>
      </div>
      {typeof answer === "string" && <p className="error-text pad">{answer}</p>}
      {answer && typeof answer !== "string" && files.length === 0 && <p className="hint pad">{answer.diff ? <pre className="plain">{visible(answer.diff)}</pre> : "Nothing was changed yet."}</p>}
      {files.map((file, at) => (
        <DiffLines key={at} path={(file.newFileName && file.newFileName !== "/dev/null" ? file.newFileName : (file.oldFileName ?? "?")).replace(/^[ab]\//, "")} fresh={file.oldFileName === "/dev/null"} lines={file.hunks.flatMap((hunk) => hunkLines(hunk, true))} />
      ))}
      {answer && typeof answer !== "string" && answer.truncated && <p className="hint pad">This is not all of it: the comparison is longer than 2 MiB.</p>}
    </>
  );
}
