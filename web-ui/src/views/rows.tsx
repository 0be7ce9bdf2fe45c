// One row of the conversation for each kind of item.
//
// Invariant: rows draw what agents say inside of themselves only. What asks a person for an answer is never here: see
// Approvals.

import { lazy, memo, Suspense, useState, type ReactNode } from "react";
import { hub } from "../app";
import type { Block, Json } from "../protocol";
import type { Item, NoticeItem, PermissionItem, PlanItem, PromptItem, SpeechItem, TurnItem } from "../state/items";
import { who } from "../state/notices";
import { copy } from "../ui/CopyButton";
import { Icon } from "../ui/Icon";
import { bytes, clock, count, money, span, visible } from "../ui/text";
import { Markdown } from "./Markdown";
import { Tool } from "./Tool";

const Raw = lazy(() => import("./Raw"));

interface Props<T extends Item> { item: T; session: string; shell: boolean; live: boolean }

export const Row = memo(function Row(props: Props<Item>) {
  const [raw, setRaw] = useState(false);
  const { item, session } = props;
  return (
    <>
      {draw(props)}
      <div className="row-actions">
        {"text" in item && item.kind !== "notice" && <Small label="Copy text" icon="copy" run={() => void copy(item.text)} />}
        <Small label="Copy a link to this" icon="link" run={() => void copy(`${location.origin}${location.pathname}#/s/${session}@${item.seq}`).then((ok) => hub.toast({ tone: ok ? "info" : "bad", text: ok ? "The link was copied" : "The browser does not let this page copy" }))} />
        <Small label={raw ? "Hide the records" : "Show the records"} icon="terminal" run={() => setRaw(!raw)} />
        <time title={new Date(item.at).toLocaleString()}>{clock(item.at)}</time>
      </div>
      {raw && <Suspense fallback={null}><Raw session={session} from={item.seq} to={item.end} /></Suspense>}
    </>
  );
});

function Small({ label, icon, run }: { label: string; icon: string; run(): void }) {
  return <button type="button" className="icon-button small" title={label} aria-label={label} onClick={run}><Icon name={icon} size={14} /></button>;
}

function draw(props: Props<Item>): ReactNode {
  const { item } = props;
  switch (item.kind) {
    case "prompt": return <Prompt item={item} />;
    case "message": return <Message item={item} shell={props.shell} live={props.live} />;
    case "person": return <div className="said"><Markdown text={item.text} /><Media blocks={item.media} /></div>;
    case "thought": return <Thought item={item} live={props.live} />;
    case "tool": return <Tool item={item} shell={props.shell} />;
    case "plan": return <Plan item={item} />;
    case "permission": return <Asked item={item} />;
    case "turn": return <TurnEnd item={item} />;
    case "notice": return <Notice item={item} />;
  }
}

function Prompt({ item }: { item: PromptItem }) {
  const text = item.blocks?.filter((block) => block.type === "text").map((block) => block.text ?? "").join("\n") ?? "…";
  return (
    <div className="said">
      <span className="by">{item.by?.label ? visible(item.by.label) : "prompt"}</span>
      <div className="said-text" dir="auto">{visible(text)}</div>
      <Media blocks={item.blocks?.filter((block) => block.type !== "text") ?? []} />
    </div>
  );
}

function Message({ item, shell, live }: { item: SpeechItem; shell: boolean; live: boolean }) {
  return (
    <>
      {/* What commands print is no Markdown. */}
      {shell ? <pre className="console" tabIndex={0}>{visible(item.text)}</pre> : <Markdown text={item.text} streaming={live} />}
      <Media blocks={item.media} />
      {live && <span className="cursor" aria-hidden="true" />}
    </>
  );
}

function Thought({ item, live }: { item: SpeechItem; live: boolean }) {
  return (
    <details className="fold thought">
      <summary><Icon name="think" size={14} /> {live ? "Thinking…" : "Thought"} <span className="hint">{visible(item.text.trim().slice(0, 120))}</span></summary>
      <Markdown text={item.text} streaming={live} />
    </details>
  );
}

const PICTURES = ["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"];

/** Images that came with their bytes, of kinds that hold no script; everything else by name. */
export function Media({ blocks }: { blocks: readonly Block[] }) {
  if (blocks.length === 0) return null;
  return (
    <div className="media">
      {blocks.map((block, at) => {
        if (block.type === "image" && block.data && PICTURES.includes(block.mimeType ?? "")) {
          return <img key={at} src={`data:${block.mimeType};base64,${block.data}`} alt={block.uri ? visible(block.uri.split("/").pop() ?? "") : "image"} loading="lazy" />;
        }
        const name = block.name ?? block.title ?? (block.resource?.uri ?? block.uri ?? "").split("/").pop();
        const size = block.data ?? block.resource?.blob;
        const length = size ? Math.floor((size.length * 3) / 4) : (block.size ?? block.resource?.text?.length);
        return <span key={at} className="chip"><Icon name="file" size={13} /> {visible(name || block.type)}{length ? ` · ${bytes(length)}` : ""}</span>;
      })}
    </div>
  );
}

function Plan({ item }: { item: PlanItem }) {
  const done = item.entries.filter((entry) => entry.status === "completed").length;
  return (
    <div className="plan">
      <div className="plan-head"><Icon name="plan" size={14} /> Plan <span className="hint">{done} of {item.entries.length}</span></div>
      <ol>
        {item.entries.map((entry, at) => (
          <li key={at} className={entry.status === "completed" ? "done" : entry.status === "in_progress" ? "now" : "todo"}>
            <span className="sr">{entry.status ?? "pending"}: </span>{visible(entry.content)}
          </li>
        ))}
      </ol>
    </div>
  );
}

function thing(tool: string): string {
  return ({ execute: "A command", edit: "A change", delete: "A deletion", move: "A move", fetch: "A request" } as { [tool: string]: string })[tool] ?? visible(tool);
}

const OUTCOMES: { [outcome: string]: string } = {
  allowed: "allowed", denied: "denied", expired: "denied: nobody answered in time", cancelled: "cancelled", withdrawn: "taken back by the agent",
};

function Asked({ item }: { item: PermissionItem }) {
  const { permission, resolved } = item;
  const by = resolved?.how === "rule" || resolved?.how === "session_rule" ? `by the rule ${resolved.rule ?? ""}` : resolved?.by ? `by ${who(resolved.by)}` : "";
  return (
    <p className={`line ${resolved ? resolved.outcome : "pending"}`}>
      <Icon name={resolved?.outcome === "allowed" ? "check" : resolved ? "cross" : "clock"} size={14} />
      <span>{resolved ? `${thing(permission.tool)} was ${OUTCOMES[resolved.outcome] ?? resolved.outcome} ${visible(by)}` : `${thing(permission.tool)} waits for an answer`}</span>
      {resolved?.message && <span className="hint">“{visible(resolved.message)}”</span>}
    </p>
  );
}

function TurnEnd({ item }: { item: TurnItem }) {
  const facts: string[] = [];
  if (item.startedAt) facts.push(span(item.at - item.startedAt));
  if (item.usage) {
    const { input_tokens, output_tokens, cache_read_tokens, cache_write_tokens } = item.usage;
    const total = input_tokens + output_tokens + cache_read_tokens + cache_write_tokens;
    if (total) facts.push(`${count(total)} tokens`);
  }
  if (item.cost?.amount) facts.push(money(item.cost));
  if (item.exitCode !== null) facts.push(`exit code ${item.exitCode}`);
  const bad = item.outcome === "failed" || item.outcome === "unknown" || (item.exitCode ?? 0) !== 0;
  const word = item.outcome === "finished" ? "" : item.outcome === "unknown" ? "The agent was lost; what it did is not known" : item.outcome === "failed" ? "The turn failed" : "Interrupted";
  return (
    <div className={`turn-end${bad ? " bad" : ""}`}>
      <span className="rule" />
      <span>{[word, ...facts].filter(Boolean).join(" · ") || "Done"}</span>
      <span className="rule" />
      {item.error && <p className="error-text">{visible(item.error)}</p>}
    </div>
  );
}

function Notice({ item }: { item: NoticeItem }) {
  if (!item.detail) return <p className={`line ${item.tone}`}>{visible(item.text)}</p>;
  return (
    <details className={`fold ${item.tone}`} open={item.tone === "bad"}>
      <summary>{visible(item.text)}</summary>
      <pre className="plain">{visible(item.detail)}</pre>
    </details>
  );
}

/** JSON for people: a lone string as it is. */
export function jsonText(value: Json): string {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}
