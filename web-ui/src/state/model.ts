// All that the page knows, and the names of its parts.

import type { AgentInfo, Message, SessionInfo } from "../protocol";
import type { Connection } from "../net/socket";
import type { Transcript } from "./fold";

export interface Toast {
  id: number;
  tone: "info" | "good" | "warn" | "bad";
  text: string;
  session?: string;
  action?: { label: string; run(): void };
}

/** What one session's records are to this tab. */
export interface Window {
  transcript: Transcript;
  /** `viewer` in the background, `writer` once it was opened here, `none` when it has ended or is not joined. */
  joined: "none" | "viewer" | "writer";
  /** Whether the daemon is being asked for earlier records. */
  loading: boolean;
  /** Words of the daemon when that failed. */
  trouble: string | null;
}

/** A prompt on its way. */
export interface Outgoing { key: string; session: string; text: string; failed: string | null }

export interface State {
  connection: Connection;
  /** Whether the daemon has told its sessions on this connection. */
  listed: boolean;
  welcome: Message | null;
  sessions: ReadonlyMap<string, SessionInfo>;
  /** Sessions that the daemon does not know any more, of which a copy is kept here. */
  gone: ReadonlySet<string>;
  windows: ReadonlyMap<string, Window>;
  /** The session that is being read to its end in this page right now. */
  reading: string | null;
  /** Since when each session is in its group: what orders the list, so that it moves only when something changed for a person. */
  since: ReadonlyMap<string, number>;
  /** When each session last said something, for the pulse. */
  pulses: ReadonlyMap<string, number>;
  /** This page's token may look and change nothing. */
  looksOnly: boolean;
  agents: readonly AgentInfo[];
  ended: number;
  warnings: readonly string[];
  outgoing: readonly Outgoing[];
  toasts: readonly Toast[];
  /** Permissions that this tab has answered and the daemon has not confirmed yet. */
  answering: ReadonlySet<string>;
}

export const nothing: State = {
  connection: { at: "connecting" },
  listed: false,
  welcome: null,
  sessions: new Map(),
  gone: new Set(),
  windows: new Map(),
  reading: null,
  since: new Map(),
  pulses: new Map(),
  looksOnly: false,
  agents: [],
  ended: 0,
  warnings: [],
  outgoing: [],
  toasts: [],
  answering: new Set(),
};

export type Group = "needs" | "working" | "idle" | "paused" | "finished" | "failed";

export const GROUPS: readonly { id: Group; title: string }[] = [
  { id: "needs", title: "Needs you" },
  { id: "working", title: "Working" },
  { id: "idle", title: "Idle" },
  { id: "paused", title: "Paused" },
  { id: "finished", title: "Finished" },
  { id: "failed", title: "Failed" },
];

export function groupOf(session: SessionInfo): Group {
  switch (session.state) {
    case "waiting_permission": return "needs";
    case "starting":
    case "processing": return "working";
    case "idle": return "idle";
    case "suspended": return "paused";
    case "failed": return "failed";
    default: return "finished";
  }
}

export function titleOf(session: SessionInfo): string {
  return session.name ?? (baseName(session.cwd) || session.id.slice(0, 8));
}

export function baseName(path: string): string {
  return path.replace(/\/+$/, "").split("/").pop() ?? "";
}

/** How much is new to this page's person, in all sessions. */
export function newIn(sessions: Iterable<SessionInfo>): number {
  let sum = 0;
  for (const session of sessions) if (session.deleted_at === null) sum += session.unread ?? 0;
  return sum;
}

/** What may count as read now: the session and its last record; null while there is nothing new, or it is not all here. */
export function markable({ reading, sessions, windows, connection, gone }: State): [string, number] | null {
  const session = reading === null ? undefined : sessions.get(reading);
  if (!session || !session.unread || connection.at !== "open" || gone.has(session.id)) return null;
  const last = windows.get(session.id)?.transcript.last ?? 0;
  return last >= session.head ? [session.id, last] : null;
}
