// From records to a transcript. Pure: the same records give the same items, however they were cut into batches.
//
// Invariant: a transcript covers the records `first` to `last` without a hole. A record that is not the next one is not
// folded: an old one is a duplicate, a later one means that records are missing, and the caller reads them.

import type { Actor, Block, Permission, PermissionResolved, PlanEntry, SlashCommand, ToolContent, Update, WireRecord } from "../protocol";
import type { Item, NoticeItem, PlanItem, PromptItem, SpeechItem, ToolItem, Waiting } from "./items";
import { noticeOf } from "./notices";

export interface Transcript {
  /** The first record that is folded; `last + 1` when there is none. */
  first: number;
  last: number;
  epoch: number;
  items: readonly Item[];
  /** Prompts that wait, as far as they were seen. */
  waiting: readonly Waiting[];
  commands: readonly SlashCommand[];
  plan: readonly PlanEntry[];
  context: { used: number; size: number } | null;
  turn: { turn: number; at: number } | null;
  /** Records about something before `first`; they are folded again when that is read. */
  orphans: readonly WireRecord[];
  /** Items cut off at the front that later records had touched, for when they are read again. */
  touched: readonly Item[];
}

/** A speech that grows beyond this goes on in another item, so that no item costs much to draw. */
const LONGEST = 32 * 1024;
const MOST_ORPHANS = 2_000;

/** An empty transcript whose next record is `last + 1`. */
export function empty(last: number, epoch: number): Transcript {
  return {
    first: last + 1, last, epoch, items: [], waiting: [], commands: [], plan: [], context: null, turn: null,
    orphans: [], touched: [],
  };
}

/** A transcript under change: the arrays are copied once for a batch. */
class Draft {
  readonly items: Item[];
  waiting: readonly Waiting[];
  commands: readonly SlashCommand[];
  plan: readonly PlanEntry[];
  context: Transcript["context"];
  turn: Transcript["turn"];
  orphans: WireRecord[];
  record!: WireRecord;

  constructor(readonly of: Transcript) {
    this.items = of.items.slice();
    this.waiting = of.waiting;
    this.commands = of.commands;
    this.plan = of.plan;
    this.context = of.context;
    this.turn = of.turn;
    this.orphans = of.orphans.slice();
  }

  base(): { key: string; seq: number; end: number; at: number } {
    const { seq, at_ms } = this.record;
    return { key: String(seq), seq, end: seq, at: at_ms };
  }

  notice(notice: Pick<NoticeItem, "tone" | "text" | "detail">): void {
    this.items.push({ ...this.base(), kind: "notice", ...notice });
  }

  /** The last item that fits, and its place. */
  find<T extends Item>(fits: (item: Item) => item is T): [number, T] | null {
    for (let at = this.items.length - 1; at >= 0; at -= 1) {
      const item = this.items[at]!;
      if (fits(item)) return [at, item];
    }
    return null;
  }

  /** Keeps a record whose subject is not here. False when it cannot be further up. */
  orphan(): boolean {
    if (this.of.first <= 1) return false;
    this.orphans.push(this.record);
    if (this.orphans.length > MOST_ORPHANS) this.orphans.shift();
    return true;
  }
}

/** Folds the records that follow; stops before a hole. */
export function fold(transcript: Transcript, records: readonly WireRecord[]): Transcript {
  let { last, epoch } = transcript;
  let draft: Draft | null = null;
  for (const record of records) {
    if (record.seq <= last) continue;
    if (record.seq !== last + 1) break;
    draft ??= new Draft(transcript);
    draft.record = record;
    apply(draft, record);
    last = record.seq;
    epoch = record.epoch;
  }
  if (!draft) return transcript;
  const { items, waiting, commands, plan, context, turn, orphans } = draft;
  return { ...transcript, last, epoch, items, waiting, commands, plan, context, turn, orphans };
}

/** Puts the records before `first` in front. `records` must end right before it; anything else changes nothing. */
export function prepend(transcript: Transcript, records: readonly WireRecord[]): Transcript {
  const from = records[0];
  const to = records[records.length - 1];
  if (!from || !to || to.seq !== transcript.first - 1) return transcript;
  let page = fold({ ...empty(from.seq - 1, from.epoch), first: from.seq }, records);
  // What came later about things in this page.
  const late = new Draft(page);
  const before = transcript.orphans;
  for (const record of before) {
    late.record = record;
    apply(late, record);
  }
  const items = late.items.map((item) => transcript.touched.find((kept) => kept.key === item.key && kept.kind === item.kind) ?? item);
  page = { ...page, items };
  const rest = transcript.items.slice();
  joinPlan(items, rest, from.seq > 1);
  join(items, rest);
  for (let at = 0; at < rest.length; at += 1) {
    const item = rest[at]!;
    if (item.kind !== "prompt" || item.blocks) continue;
    const said = late.waiting.find((prompt) => prompt.seq === item.seq);
    if (said) rest[at] = { ...item, blocks: said.blocks, by: said.by };
  }
  const shown = new Set(rest.flatMap((item) => (item.kind === "prompt" ? [item.seq] : [])));
  const known = new Set(transcript.waiting.map((prompt) => prompt.seq));
  return {
    ...transcript,
    first: from.seq,
    items: [...items.filter((item) => !(item.kind === "prompt" && shown.has(item.seq))), ...rest],
    waiting: [...late.waiting.filter((prompt) => !shown.has(prompt.seq) && !known.has(prompt.seq)), ...transcript.waiting],
    commands: transcript.commands.length ? transcript.commands : page.commands,
    plan: transcript.plan.length ? transcript.plan : page.plan,
    context: transcript.context ?? page.context,
    turn: transcript.turn ?? (transcript.items.some((item) => item.kind === "turn") ? null : page.turn),
    orphans: from.seq <= 1 ? [] : late.orphans,
    touched: transcript.touched.filter((kept) => kept.seq < from.seq),
  };
}

/** Where the plan of the last turn stands: what an agent says of it anew is the same plan, further on. False when that
 *  turn has none, null when its beginning is not here. */
function planOf(items: readonly Item[]): number | false | null {
  for (let at = items.length - 1; at >= 0; at -= 1) {
    const { kind } = items[at]!;
    if (kind === "plan") return at;
    if (kind === "turn" || kind === "prompt") return false;
  }
  return null;
}

/** A plan whose turn was cut between two pages is one again. */
function joinPlan(page: Item[], rest: Item[], more: boolean): void {
  const at = rest.findIndex((item) => item.kind === "plan" && item.open);
  if (at < 0) return;
  const late = rest[at] as PlanItem;
  const early = planOf(page);
  if (typeof early !== "number") {
    rest[at] = { ...late, open: early === null && more };
    return;
  }
  page[early] = { ...(page[early] as PlanItem), entries: late.entries, end: late.end };
  rest.splice(at, 1);
  const [left, right] = [rest[at - 1], rest[at]];
  if (left && right && isSpeech(left) && isSpeech(right) && goesOn(left, right.kind, right.messageId)) {
    rest.splice(at - 1, 2, both(left, right));
  }
}

function both(left: SpeechItem, right: SpeechItem): SpeechItem {
  return { ...left, text: left.text + right.text, media: [...left.media, ...right.media], end: Math.max(left.end, right.end) };
}

/** A speech that was cut between two pages is one again. */
function join(page: Item[], rest: Item[]): void {
  const left = page[page.length - 1];
  const right = rest[0];
  if (!left || !right || !isSpeech(left) || !isSpeech(right) || !goesOn(left, right.kind, right.messageId)) return;
  page.pop();
  rest[0] = both(left, right);
}

/** Forgets items at the front until `keep` are left; they can be read from the daemon again. */
export function trim(transcript: Transcript, keep: number): Transcript {
  let cut = transcript.items.length - keep;
  // A record that is in two items must not be cut apart.
  while (cut < transcript.items.length && isContinued(transcript.items[cut])) cut += 1;
  const next = transcript.items[cut];
  if (cut <= 0 || !next) return transcript;
  // A prompt has the number of its acceptance, which may lie far back; it stands where its turn began.
  const first = next.kind === "prompt" ? next.end : next.seq;
  if (first <= transcript.first) return transcript;
  const gone = transcript.items.slice(0, cut).filter((item) => item.end >= first);
  return { ...transcript, first, items: transcript.items.slice(cut), touched: [...transcript.touched, ...gone].slice(-500) };
}

function isContinued(item: Item | undefined): boolean {
  return item !== undefined && isSpeech(item) && item.continues === true;
}

function isSpeech(item: Item): item is SpeechItem {
  return item.kind === "message" || item.kind === "thought" || item.kind === "person";
}

function goesOn(item: SpeechItem, kind: SpeechItem["kind"], messageId: string | undefined): boolean {
  return item.kind === kind && (item.messageId === messageId || !item.messageId || !messageId);
}

function apply(draft: Draft, record: WireRecord): void {
  const fact = record.fact;
  switch (fact.kind) {
    case "update":
      return update(draft, fact["update"] as Update);
    case "input": {
      const prompt = { seq: record.seq, at: record.at_ms, blocks: blocksOf(fact["content"]), by: (fact["by"] as Actor) ?? null };
      // Whether it waits or not, it is shown where its turn begins.
      draft.waiting = [...draft.waiting, prompt];
      return;
    }
    case "input_edited":
      return change(draft, fact["input_seq"] as number, (prompt) => ({ ...prompt, blocks: blocksOf(fact["content"]) }));
    case "input_moved": {
      const prompt = draft.waiting.find((one) => one.seq === fact["input_seq"]);
      if (!prompt) return;
      const others = draft.waiting.filter((one) => one !== prompt);
      others.splice(Math.max(0, (fact["place"] as number) - 1), 0, prompt);
      draft.waiting = others;
      return;
    }
    case "input_dropped":
      draft.waiting = draft.waiting.filter((one) => one.seq !== fact["input_seq"]);
      return;
    case "not_delivered":
      return notDelivered(draft, fact["input_seq"] as number);
    case "turn_started":
      return turnStarted(draft, fact["turn"] as number, fact["input_seq"] as number);
    case "turn_ended": {
      const started = draft.turn?.turn === fact["turn"] ? draft.turn!.at : null;
      draft.turn = null;
      draft.items.push({
        ...draft.base(), kind: "turn", turn: fact["turn"] as number, startedAt: started,
        outcome: fact["outcome"] as never, stopReason: String(fact["stop_reason"] ?? ""),
        usage: (fact["usage"] as never) ?? null, cost: (fact["cost"] as never) ?? null,
        error: (fact["error"] as string) ?? null, exitCode: (fact["exit_code"] as number) ?? null,
      });
      return;
    }
    case "permission_requested":
      draft.items.push({ ...draft.base(), kind: "permission", permission: fact["permission"] as Permission, resolved: null });
      return;
    case "permission_resolved": {
      const resolved = fact as unknown as PermissionResolved;
      const found = draft.find((item): item is Extract<Item, { kind: "permission" }> =>
        item.kind === "permission" && item.permission.permission_id === resolved.permission_id);
      if (!found) return void draft.orphan();
      draft.items[found[0]] = { ...found[1], resolved, end: record.seq };
      return;
    }
    default: {
      const notice = noticeOf(fact);
      if (notice) draft.notice(notice);
    }
  }
}

function change(draft: Draft, seq: number, how: (prompt: Waiting) => Waiting): void {
  draft.waiting = draft.waiting.map((prompt) => (prompt.seq === seq ? how(prompt) : prompt));
}

function turnStarted(draft: Draft, turn: number, inputSeq: number): void {
  draft.turn = { turn, at: draft.record.at_ms };
  const prompt = draft.waiting.find((one) => one.seq === inputSeq);
  draft.waiting = draft.waiting.filter((one) => one.seq !== inputSeq);
  if (!prompt && inputSeq >= draft.of.first) return;
  draft.items.push({
    ...draft.base(), key: `p${inputSeq}`, kind: "prompt", seq: inputSeq,
    at: prompt?.at ?? draft.record.at_ms, blocks: prompt?.blocks ?? null, by: prompt?.by ?? null, fate: "sent",
  });
}

function notDelivered(draft: Draft, inputSeq: number): void {
  const found = draft.find((item): item is PromptItem => item.kind === "prompt" && item.seq === inputSeq);
  if (!found) return void draft.orphan();
  const [at, prompt] = found;
  draft.items.splice(at, 1);
  if (prompt.blocks) {
    draft.waiting = [{ seq: prompt.seq, at: prompt.at, blocks: prompt.blocks, by: prompt.by }, ...draft.waiting];
  }
}

function blocksOf(content: unknown): Block[] {
  if (typeof content === "string") return [{ type: "text", text: content }];
  return Array.isArray(content) ? (content as Block[]) : [];
}

function update(draft: Draft, said: Update | undefined): void {
  switch (said?.sessionUpdate) {
    case "agent_message_chunk":
      return speech(draft, "message", said);
    case "agent_thought_chunk":
      return speech(draft, "thought", said);
    case "user_message_chunk":
      return speech(draft, "person", said);
    case "tool_call":
    case "tool_call_update":
      return tool(draft, said);
    case "plan": {
      const entries = Array.isArray(said.entries) ? said.entries : [];
      draft.plan = entries;
      const at = planOf(draft.items);
      if (typeof at === "number") draft.items[at] = { ...(draft.items[at] as PlanItem), entries, end: draft.record.seq };
      else draft.items.push({ ...draft.base(), kind: "plan", entries, open: at === null && draft.of.first > 1 });
      return;
    }
    case "available_commands_update":
      draft.commands = Array.isArray(said.availableCommands) ? said.availableCommands : [];
      return;
    case "usage_update":
      if (typeof said.used === "number" && typeof said.size === "number") draft.context = { used: said.used, size: said.size };
      return;
    case "current_mode_update":
    case "config_option_update":
    case "session_info_update":
      return;
    default:
      draft.notice({ tone: "quiet", text: `The agent said something that this page does not know: ${String(said?.sessionUpdate ?? "?").slice(0, 80)}`, detail: null });
  }
}

function speech(draft: Draft, kind: SpeechItem["kind"], said: Update): void {
  const block = (said.content ?? { type: "text", text: "" }) as Block;
  const text = block.type === "text" || block.type === undefined ? String(block.text ?? "") : "";
  const media = block.type === "text" || block.type === undefined ? [] : [block];
  const at = draft.items.length - 1;
  const last = draft.items[at];
  if (last && isSpeech(last) && goesOn(last, kind, said.messageId)) {
    draft.items[at] = { ...last, text: last.text + text, media: media.length ? [...last.media, ...media] : last.media, end: draft.record.seq };
  } else {
    if (!text && !media.length) return;
    draft.items.push({ ...draft.base(), kind, text, media, messageId: said.messageId });
  }
  split(draft);
}

/** Cuts the last speech into items of bearable length, at line ends where there are some. */
function split(draft: Draft): void {
  for (let part = 1; ; part += 1) {
    const at = draft.items.length - 1;
    const item = draft.items[at] as SpeechItem;
    if (item.text.length <= LONGEST) return;
    const line = item.text.lastIndexOf("\n", LONGEST);
    let cut = line > LONGEST / 2 ? line + 1 : LONGEST;
    // Not between the halves of a character.
    const code = item.text.charCodeAt(cut - 1);
    if (code >= 0xd800 && code < 0xdc00) cut -= 1;
    const head = item.text.slice(0, cut);
    const fence = openFence(head);
    draft.items[at] = { ...item, text: head, media: [] };
    draft.items.push({
      ...draft.base(), key: `${draft.record.seq}.${part}`, kind: item.kind, messageId: item.messageId, continues: true,
      text: (fence ? `${fence}\n` : "") + item.text.slice(cut), media: item.media,
    });
  }
}

/** The line that opened a block of code which is not closed yet. */
function openFence(text: string): string | null {
  let open: string | null = null;
  for (const line of text.match(/^ {0,3}(```|~~~).*$/gm) ?? []) {
    const fence = line.trim();
    open = open === null ? fence : fence.startsWith(open.slice(0, 3)) ? null : open;
  }
  return open;
}

function tool(draft: Draft, said: Update): void {
  const id = String(said.toolCallId ?? "");
  const found = draft.find((item): item is ToolItem => item.kind === "tool" && item.id === id);
  const { seq, at_ms } = draft.record;
  if (!found) {
    if (said.sessionUpdate === "tool_call_update" && draft.orphan()) return;
    const status = said.status ?? "pending";
    draft.items.push({
      ...draft.base(), kind: "tool", id, title: said.title ?? "", toolKind: said.kind ?? "other", status,
      content: contentOf(said) ?? [], rawInput: said.rawInput ?? null, rawOutput: said.rawOutput ?? null,
      locations: said.locations ?? [], startedAt: at_ms, endedAt: isOver(status) ? at_ms : null,
    });
    return;
  }
  const [at, item] = found;
  const status = said.status ?? item.status;
  draft.items[at] = {
    ...item,
    end: seq,
    title: said.title ?? item.title,
    toolKind: said.kind ?? item.toolKind,
    status,
    content: contentOf(said) ?? item.content,
    rawInput: said.rawInput ?? item.rawInput,
    rawOutput: said.rawOutput ?? item.rawOutput,
    locations: said.locations ?? item.locations,
    endedAt: isOver(status) ? (item.endedAt ?? at_ms) : null,
  };
}

function contentOf(said: Update): ToolContent[] | null {
  return Array.isArray(said.content) ? (said.content as ToolContent[]) : null;
}

function isOver(status: string): boolean {
  return status === "completed" || status === "failed";
}
