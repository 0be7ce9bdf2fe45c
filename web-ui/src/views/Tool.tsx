// A tool call: what it is, how it stands, what it did.
//
// Invariant: closed it is one line; what it printed is cut to a bearable length and says so.

import { lazy, Suspense, useState } from "react";
import type { FileChange, ToolContent } from "../protocol";
import type { ToolItem } from "../state/items";
import { Icon } from "../ui/Icon";
import { span, visible } from "../ui/text";
import { Markdown } from "./Markdown";
import { jsonText, Media } from "./rows";

const Diff = lazy(() => import("./Diff"));

const KINDS: { [kind: string]: string } = {
  read: "file", edit: "edit", delete: "trash", move: "right", search: "search", execute: "terminal", think: "think", fetch: "globe",
  switch_mode: "gear",
};
const STATUS: { [status: string]: string } = { pending: "waits", in_progress: "runs", completed: "done", failed: "failed" };
const MOST = 20_000;

export function changesOf(content: readonly ToolContent[]): FileChange[] {
  return content.flatMap((part) => (part.type === "diff" ? [{ path: part.path ?? "?", old_text: part.oldText ?? null, new_text: part.newText ?? null }] : []));
}

export function Tool({ item, shell }: { item: ToolItem; shell: boolean }) {
  const changes = changesOf(item.content);
  const output = shell ? [] : item.content.filter((part) => part.type === "content");
  const [open, setOpen] = useState<boolean | null>(null);
  const shown = open ?? (changes.length > 0 || item.status === "in_progress");
  const command = commandOf(item);
  const title = item.title || command || item.toolKind;
  const closed = typeof (item as { closed?: unknown }).closed === "string";
  return (
    <div className={`tool ${item.status}`}>
      <button type="button" className="tool-head" aria-expanded={shown} onClick={() => setOpen(!shown)}>
        <Icon name={KINDS[item.toolKind] ?? "tool"} size={14} />
        <span className={command && title === command ? "title mono" : "title"}>{visible(title)}</span>
        {item.locations.length > 0 && !title.includes(item.locations[0]!.path) && <span className="hint mono">{visible(item.locations[0]!.path.split("/").pop() ?? "")}</span>}
        <span className={`status ${item.status}`}>
          {item.status === "completed" ? <Icon name="check" size={14} /> : item.status === "failed" ? <Icon name="cross" size={14} /> : item.status === "pending" ? <Icon name="clock" size={14} /> : <span className="spinner" aria-hidden="true" />}
          <span className={item.status === "completed" ? "sr" : undefined}>{closed ? "left open" : (STATUS[item.status] ?? item.status)}</span>
          {item.endedAt && item.endedAt - item.startedAt > 950 && <span className="hint">{span(item.endedAt - item.startedAt)}</span>}
        </span>
      </button>
      {shown && (
        <div className="tool-body">
          {command && command !== title && <pre className="console" tabIndex={0}>{visible(command)}</pre>}
          {!command && item.rawInput !== null && changes.length === 0 && <pre className="plain" tabIndex={0}>{cut(jsonText(item.rawInput))}</pre>}
          {changes.length > 0 && (
            <Suspense fallback={<div className="wait-diff" />}>
              {changes.map((change, at) => <Diff key={at} change={change} />)}
            </Suspense>
          )}
          {output.map((part, at) => <Output key={at} part={part} toolKind={item.toolKind} />)}
          {output.length === 0 && changes.length === 0 && item.rawOutput !== null && <pre className="plain" tabIndex={0}>{cut(jsonText(item.rawOutput))}</pre>}
        </div>
      )}
    </div>
  );
}

function Output({ part, toolKind }: { part: ToolContent; toolKind: string }) {
  const [all, setAll] = useState(false);
  const block = part.content;
  if (!block) return null;
  if (block.type !== "text") return <Media blocks={[block]} />;
  const text = block.text ?? "";
  if (!text.trim()) return null;
  // Agents wrap what files hold and commands print into a fence; other words of theirs are Markdown.
  if (toolKind === "think" || (!["execute", "read", "search"].includes(toolKind) && text.length < MOST)) return <Markdown text={text} />;
  const inner = /^```[^\n]*\n([\s\S]*?)\n?```\s*$/.exec(text)?.[1] ?? text;
  const long = inner.length > MOST;
  return (
    <>
      <pre className="console" tabIndex={0}>{visible(long && !all ? `…${inner.slice(-MOST)}` : inner.slice(-400_000))}</pre>
      {long && !all && <button type="button" className="link" onClick={() => setAll(true)}>Show all {Math.ceil(inner.length / 1024)} KiB</button>}
    </>
  );
}

function cut(text: string): string {
  return visible(text.length > MOST ? `${text.slice(0, MOST)}\n… ${text.length - MOST} characters more; show the records to read them` : text);
}

function commandOf(item: ToolItem): string | null {
  const input = item.rawInput;
  if (input && typeof input === "object" && !Array.isArray(input)) {
    const command = input["command"];
    if (typeof command === "string") return command;
    if (Array.isArray(command)) return command.join(" ");
  }
  return null;
}
