// Where a person writes.
//
// Invariant: a draft belongs to its session and is kept on every key, so nothing that was typed is lost: not by another
// session on screen, not by a reload, not by a prompt that was refused.

import { useEffect, useLayoutEffect, useMemo, useRef, useState, type ClipboardEvent, type DragEvent, type KeyboardEvent } from "react";
import { actions, hub, useApp } from "../app";
import { isEnded, type Block, type SessionInfo, type SlashCommand } from "../protocol";
import { draft, keepDraft } from "../state/kept";
import { Icon } from "../ui/Icon";
import { Menu } from "../ui/Menu";
import { bytes, visible } from "../ui/text";
import { blockOf, sizeOf } from "./attach";
import { askMemory, maybeMemory, type Told } from "./memory";

/** A line to the daemon is 1 MiB at most; the rest of it needs room too. */
const MOST_ATTACHED = 900_000;
const NO_COMMANDS: readonly SlashCommand[] = [];

export function Composer({ session }: { session: SessionInfo }) {
  const id = session.id;
  const [text, setText] = useState(() => draft(id));
  const [files, setFiles] = useState<Block[]>([]);
  const [dropping, setDropping] = useState(false);
  const [memory, setMemory] = useState<Told | null>(null);
  const commands = useApp((state) => state.windows.get(id)?.transcript.commands ?? NO_COMMANDS);
  const accepts = useApp((state) => state.agents.find((agent) => agent.id === session.agent)?.accepts);
  const box = useRef<HTMLTextAreaElement>(null);
  const picker = useRef<HTMLInputElement>(null);

  useLayoutEffect(() => {
    const area = box.current;
    if (!area) return;
    area.style.height = "auto";
    area.style.height = `${Math.min(area.scrollHeight, innerHeight * 0.4)}px`;
  }, [text]);
  useEffect(() => {
    // Not on phones: their keyboard would cover what was opened to be read.
    if (matchMedia("(pointer: fine)").matches) box.current?.focus({ preventScroll: true });
  }, [id]);

  const write = (next: string) => {
    setText(next);
    keepDraft(id, next);
  };
  const working = session.state === "processing" || session.state === "waiting_permission";
  const ended = isEnded(session.state);
  // Twice within a moment, so that leaving a field or a menu interrupts nothing.
  useEffect(() => {
    if (!working) return;
    let last = 0;
    const pressed = (event: globalThis.KeyboardEvent) => {
      if (event.key !== "Escape" || event.repeat || (event.target as HTMLElement).closest("dialog, [role=menu]")) return;
      if (event.timeStamp - last < 600) void actions.interrupt(id);
      last = event.timeStamp;
    };
    document.addEventListener("keydown", pressed);
    return () => document.removeEventListener("keydown", pressed);
  }, [id, working]);
  const send = async (now = false) => {
    const said = text.trim();
    if (!said && files.length === 0) return;
    if (files.length === 0 && maybeMemory(said)) {
      const told = await askMemory(said, id);
      if (told) {
        write("");
        return setMemory(told);
      }
    }
    setMemory(null);
    const content = files.length ? [...(said ? [{ type: "text", text: said }] : []), ...files] : said;
    write("");
    setFiles([]);
    if (!(await actions.send(id, content, now))) {
      // Refused: it comes back, before what was typed meanwhile.
      setText((meanwhile) => {
        const both = meanwhile ? `${said}\n${meanwhile}` : said;
        keepDraft(id, both);
        return both;
      });
      setFiles(files);
    }
  };
  const attach = async (list: Iterable<File>) => {
    const blocks: Block[] = [];
    let room = MOST_ATTACHED - files.reduce((sum, block) => sum + sizeOf(block), 0);
    for (const file of list) {
      const block = await blockOf(file, accepts);
      if (typeof block === "string") {
        hub.toast({ tone: "warn", text: block });
        continue;
      }
      room -= sizeOf(block);
      if (room < 0) {
        hub.toast({ tone: "warn", text: `${file.name} is too large to be sent with a prompt (${bytes(file.size)}); let the agent read it from the disk` });
        break;
      }
      blocks.push(block);
    }
    setFiles((before) => [...before, ...blocks]);
  };

  const slash = /^\/(\S*)$/.exec(text)?.[1] ?? null;
  const found = useMemo(() => (slash === null ? [] : commands.filter((command) => command.name.toLowerCase().startsWith(slash.toLowerCase())).slice(0, 8)), [slash, commands]);
  const [pick, setPick] = useState(0);
  useEffect(() => setPick(0), [slash]);
  const choose = (name: string) => {
    write(`/${name} `);
    box.current?.focus();
  };

  const keys = (event: KeyboardEvent) => {
    if (event.nativeEvent.isComposing) return;
    if (found.length > 0) {
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        setPick((at) => (at + (event.key === "ArrowDown" ? 1 : found.length - 1)) % found.length);
        return event.preventDefault();
      }
      if (event.key === "Tab" || (event.key === "Enter" && found[pick]!.name !== slash)) {
        choose(found[pick]!.name);
        return event.preventDefault();
      }
    }
    if (event.key === "Enter" && !event.shiftKey && (matchMedia("(pointer: fine)").matches || event.metaKey || event.ctrlKey)) {
      event.preventDefault();
      void send(event.metaKey || event.ctrlKey);
    } else if (event.key === "Escape") {
      box.current?.blur();
    }
  };

  return (
    <div
      className={`composer${dropping ? " dropping" : ""}`}
      onDragOver={(event: DragEvent) => {
        if (!event.dataTransfer.types.includes("Files")) return;
        event.preventDefault();
        setDropping(true);
      }}
      onDragLeave={() => setDropping(false)}
      onDrop={(event: DragEvent) => {
        setDropping(false);
        if (event.dataTransfer.files.length === 0) return;
        event.preventDefault();
        void attach(event.dataTransfer.files);
      }}
    >
      {found.length > 0 && (
        <ul className="slash" role="listbox" aria-label="Commands" id="slash-list">
          {found.map((command, at) => (
            <li key={command.name} id={`slash-${at}`} role="option" aria-selected={at === pick} onPointerDown={(event) => (event.preventDefault(), choose(command.name))}>
              <b>/{visible(command.name)}</b> <span className="hint">{visible((command.description ?? "").slice(0, 140))}</span>
            </li>
          ))}
        </ul>
      )}
      {memory && (
        <div className="memory" role="status">
          <p>{visible(memory.message)} <button type="button" className="icon-button tiny" aria-label="Close" onClick={() => setMemory(null)}><Icon name="cross" size={11} /></button></p>
          {memory.memories.length > 0 && <ul>{memory.memories.map((one) => <li key={one.id}><span className="hint">#{one.id}</span> {visible(one.text)}</li>)}</ul>}
        </div>
      )}
      {files.length > 0 && (
        <div className="files">
          {files.map((block, at) => (
            <span key={at} className="chip">
              <Icon name="file" size={13} /> {visible(nameOf(block))} · {bytes(sizeOf(block))}
              <button type="button" className="icon-button tiny" aria-label={`Remove ${nameOf(block)}`} onClick={() => setFiles(files.filter((_, place) => place !== at))}><Icon name="cross" size={11} /></button>
            </span>
          ))}
        </div>
      )}
      <textarea
        ref={box} value={text} rows={1} aria-label="Message" aria-autocomplete={found.length ? "list" : undefined} aria-controls={found.length ? "slash-list" : undefined}
        aria-activedescendant={found.length ? `slash-${pick}` : undefined}
        placeholder={ended ? "Write to resume this session…" : working ? "Write the next prompt; it waits for this turn" : session.state === "suspended" ? "Write to go on…" : session.agent === "shell" ? "A command…" : "Write a prompt…"}
        onChange={(event) => write(event.target.value)} onKeyDown={keys}
        onPaste={(event: ClipboardEvent) => {
          if (event.clipboardData.files.length === 0) return;
          event.preventDefault();
          void attach(event.clipboardData.files);
        }}
      />
      <div className="composer-bar">
        <input ref={picker} type="file" multiple hidden onChange={(event) => (void attach([...(event.target.files ?? [])]), (event.target.value = ""))} />
        <button type="button" className="icon-button" aria-label="Attach files" title="Attach files, or paste or drop them" onClick={() => picker.current?.click()}><Icon name="clip" /></button>
        {Object.entries(session.offers).map(([option, offers]) => <Option key={option} session={session} option={option} offers={offers} />)}
        <Context id={id} />
        <span className="push" />
        {working && <button type="button" className="stop" onClick={() => void actions.interrupt(id)} title="Interrupt the turn (Esc twice)"><Icon name="stop" size={14} /> Stop</button>}
        <button type="button" className="primary send" disabled={!text.trim() && files.length === 0} onClick={() => void send()} aria-label={working ? "Queue" : "Send"} title={working ? "Queue (Enter); Ctrl+Enter interrupts and sends" : "Send (Enter)"}>
          <Icon name="up" />{working && <span>Queue</span>}
        </button>
      </div>
    </div>
  );
}

function nameOf(block: Block): string {
  return block.name ?? (block.uri ?? block.resource?.uri ?? "").split("/").pop() ?? block.type;
}

function Option({ session, option, offers }: { session: SessionInfo; option: string; offers: { id: string; name: string; description?: string }[] }) {
  if (!Array.isArray(offers) || offers.length < 2) return null;
  const now = session.options[option];
  const name = offers.find((offer) => offer.id === now)?.name ?? String(now ?? option);
  return (
    <Menu label={`${option}: ${name}`} className="pick" up align="start" items={offers.map((offer) => ({
      label: offer.name, hint: offer.description?.slice(0, 120), checked: offer.id === now, run: () => void actions.option(session.id, option, offer.id),
    }))}>
      {visible(name)} <Icon name="down" size={11} />
    </Menu>
  );
}

function Context({ id }: { id: string }) {
  const context = useApp((state) => state.windows.get(id)?.transcript.context ?? null);
  if (!context || context.size <= 0) return null;
  const part = Math.min(100, Math.round((context.used / context.size) * 100));
  return <span className={`hint context${part > 80 ? " warn" : ""}`} title={`${context.used} of ${context.size} tokens of the model's context`}>{part}% context</span>;
}

/** Prompts that wait for their turn: to be changed, moved, taken back. */
export function Queue({ session }: { session: SessionInfo }) {
  const waiting = useApp((state) => state.windows.get(session.id)?.transcript.waiting);
  const outgoing = useApp((state) => state.outgoing);
  const mine = outgoing.filter((one) => one.session === session.id);
  const [editing, setEditing] = useState<{ seq: number; text: string } | null>(null);
  const queued = session.queued > 0 || session.state === "starting" ? (waiting ?? []) : [];
  if (queued.length === 0 && mine.length === 0) return null;
  return (
    <ol className="queue" aria-label="Prompts that wait">
      {queued.map((prompt, at) => {
        const text = prompt.blocks.map((block) => block.text ?? `[${block.type}]`).join(" ");
        if (editing?.seq === prompt.seq) {
          return (
            <li key={prompt.seq}>
              <input
                autoFocus aria-label="Prompt" value={editing.text} onChange={(event) => setEditing({ ...editing, text: event.target.value })}
                onKeyDown={(event) => {
                  if (event.key === "Enter") {
                    const rest = prompt.blocks.filter((block) => block.type !== "text");
                    void actions.editInput(session.id, prompt.seq, rest.length ? [{ type: "text", text: editing.text }, ...rest] : editing.text);
                  }
                  if (event.key === "Enter" || event.key === "Escape") setEditing(null);
                }}
              />
            </li>
          );
        }
        return (
          <li key={prompt.seq}>
            <Icon name="clock" size={13} /> <span className="text">{visible(text.slice(0, 300))}</span>
            {at > 0 && <button type="button" className="icon-button small" aria-label="Move up" title="Move up" onClick={() => void actions.moveInput(session.id, prompt.seq, at)}><Icon name="up" size={13} /></button>}
            <button type="button" className="icon-button small" aria-label="Edit" title="Edit" onClick={() => setEditing({ seq: prompt.seq, text: prompt.blocks.map((block) => block.text ?? "").join("") })}><Icon name="edit" size={13} /></button>
            <button type="button" className="icon-button small" aria-label="Remove" title="Remove" onClick={() => void actions.removeInput(session.id, prompt.seq)}><Icon name="cross" size={13} /></button>
          </li>
        );
      })}
      {mine.map((one) => <li key={one.key} className="going"><span className="spinner" aria-hidden="true" /> <span className="text">{visible(one.text.slice(0, 300))}</span> <span className="hint">on its way</span></li>)}
    </ol>
  );
}
