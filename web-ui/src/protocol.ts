// The words of the wire, version 1, as the page uses them: the generated types, with what they leave open said closer.
// PROTOCOL.md is the contract.
//
// Invariant: what is optional there is optional here, and unknown kinds stay possible: a newer daemon may say more.

import type * as wire from "./generated/protocol";

export type {
  Actor, AgentInfo, AppliedRules, Cost, Link, Member, OrphanPolicy, Outcome, PermissionOption, PermissionResolved, Role, SessionState,
  TurnOutcome, Usage, Worktree,
} from "./generated/protocol";

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
export type JsonObject = { [name: string]: Json };

export interface Offer { id: string; name: string; description?: string }
export interface FileChange { path: string; old_text?: string | null; new_text?: string | null }
export type Permission = Omit<wire.Permission, "raw_input" | "diff" | "more_diffs"> & { raw_input: Json; diff?: FileChange | null; more_diffs?: FileChange[] };
export type SessionInfo = Omit<wire.SessionInfo, "metadata" | "options" | "offers" | "pending_permissions"> & {
  metadata: JsonObject; options: JsonObject; offers: { [option: string]: Offer[] }; pending_permissions: Permission[];
};
export type Approval = Omit<wire.Approval, "permission"> & { permission: Permission };
export type TemplateInfo = wire.TemplateInfo;
export type Turn = wire.TurnInfo;
export type CostRow = wire.CostSum;
export type Token = wire.TokenInfo;
export type AuditEntry = wire.AuditEntry;
export type DaemonStatus = wire.DaemonStatusMessage;

/** A content block of the Agent Client Protocol. */
export interface Block {
  type: string; text?: string; data?: string; mimeType?: string; uri?: string; name?: string; title?: string;
  size?: number; resource?: { uri?: string; text?: string; blob?: string; mimeType?: string };
}
export interface ToolContent {
  type: string; content?: Block; path?: string; oldText?: string | null; newText?: string | null; terminalId?: string;
}
/** A `SessionUpdate` of the Agent Client Protocol, verbatim; what the page reads of it. */
export interface Update {
  sessionUpdate: string;
  content?: Block | ToolContent[] | null;
  messageId?: string;
  toolCallId?: string; title?: string | null; kind?: string | null; status?: string | null;
  rawInput?: Json; rawOutput?: Json; locations?: { path: string; line?: number | null }[] | null;
  entries?: PlanEntry[];
  availableCommands?: SlashCommand[];
  currentModeId?: string;
  used?: number; size?: number;
  _meta?: { [name: string]: unknown };
}
export interface PlanEntry { content: string; priority?: string; status?: string }
export interface SlashCommand { name: string; description?: string; input?: { hint?: string } | null }

/** One fact. `kind` says which; the other fields are those of PROTOCOL.md. */
export interface Fact { kind: wire.Fact["kind"] | (string & {}); [field: string]: unknown }
export type WireRecord = Omit<wire.Record, "fact"> & { fact: Fact };

/** What each request may have, beside its type and its id. */
export type Asks<R extends wire.Request["type"]> = Omit<Extract<wire.Request, { type: R }>, "type" | "request_id">;
export type RequestType = wire.Request["type"];

type Sessions<M> = Omit<M, "sessions" | "session"> & (M extends { session: unknown } ? { session: SessionInfo } : { sessions: SessionInfo[] });

/** What answers each request that has an answer of its own. */
export interface Answers {
  hello: wire.WelcomeMessage;
  list_sessions: Sessions<wire.SessionListMessage>;
  create_session: Sessions<wire.SessionCreatedMessage>;
  fork_session: Sessions<wire.SessionCreatedMessage>;
  subscribe: { sessions: (Omit<wire.SubscribedSession, "session"> & { session: SessionInfo })[] };
  input: wire.AcceptedMessage;
  who: wire.MembersMessage;
  get_session: Sessions<wire.SessionMessage>;
  read_records: { records: WireRecord[]; head: number };
  list_agents: wire.AgentsMessage;
  list_turns: wire.TurnsMessage;
  get_costs: wire.CostsMessage;
  list_approvals: { approvals: Approval[] };
  get_rules: wire.RulesMessage;
  list_templates: wire.TemplatesMessage;
  daemon_status: wire.DaemonStatusMessage;
  list_tokens: wire.TokensMessage;
  create_token: wire.TokenCreatedMessage;
  list_audit: wire.AuditMessage;
  worktree: wire.WorktreeMessage | { type: "worktree"; diff?: string; truncated?: boolean };
}
export type AnswerOf<R extends RequestType> = R extends keyof Answers ? Answers[R] : wire.OkMessage;

/** A message from the daemon: an answer when it has a `request_id`, a notice or a record otherwise. */
export interface Message { type: wire.Message["type"] | (string & {}); request_id?: string; session_id?: string; [field: string]: unknown }

export function isEnded(state: wire.SessionState): boolean {
  return state === "finished" || state === "failed" || state === "killed" || state === "expired";
}
