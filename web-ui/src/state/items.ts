// What a transcript is made of: one item for each thing a person sees.
//
// Invariant: an item never changes; a newer one takes its place under the same key. `seq` is its first record, `end` the
// last one that touched it, so an item can be found, linked to and read raw from the daemon.

import type { Actor, Block, Cost, Json, Permission, PermissionResolved, PlanEntry, ToolContent, TurnOutcome, Usage } from "../protocol";

interface Base { key: string; seq: number; end: number; at: number }

export interface PromptItem extends Base {
  kind: "prompt";
  /** Null until it is known what was said: the record lies before what was read so far. */
  blocks: Block[] | null;
  by: Actor | null;
  fate: "sent" | "back" | "dropped";
}
export interface SpeechItem extends Base {
  kind: "message" | "thought" | "person";
  text: string;
  /** What is no text: images and files, in order of arrival. */
  media: Block[];
  messageId?: string;
  /** It goes on from the item before it, which had grown too long. */
  continues?: boolean;
}
export interface ToolItem extends Base {
  kind: "tool";
  id: string;
  title: string;
  toolKind: string;
  status: string;
  content: ToolContent[];
  rawInput: Json;
  rawOutput: Json;
  locations: { path: string; line?: number | null }[];
  startedAt: number;
  endedAt: number | null;
}
export interface PlanItem extends Base {
  kind: "plan";
  entries: PlanEntry[];
  /** It may go on from one that was not read yet. */
  open?: boolean;
}
export interface PermissionItem extends Base { kind: "permission"; permission: Permission; resolved: PermissionResolved | null }
export interface TurnItem extends Base {
  kind: "turn";
  turn: number;
  startedAt: number | null;
  outcome: TurnOutcome;
  stopReason: string;
  usage: Usage | null;
  cost: Cost | null;
  error: string | null;
  exitCode: number | null;
}
export type Tone = "quiet" | "good" | "warn" | "bad";
export interface NoticeItem extends Base { kind: "notice"; tone: Tone; text: string; detail: string | null }

export type Item = PromptItem | SpeechItem | ToolItem | PlanItem | PermissionItem | TurnItem | NoticeItem;

/** A prompt that waits for its turn. */
export interface Waiting { seq: number; at: number; blocks: Block[]; by: Actor | null }
