// The words of the wire, version 1, as the page uses them. PROTOCOL.md is the contract.
//
// Invariant: what is optional there is optional here, and unknown kinds stay possible: a newer daemon may say more.

export type SessionState =
  | "starting" | "idle" | "processing" | "waiting_permission" | "suspended"
  | "finished" | "failed" | "killed" | "expired";
export type Link = "live" | "adopting" | "lost" | "none";
export type OrphanPolicy = "keep" | "suspend" | "remove";
export type Role = "writer" | "viewer";
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
export type JsonObject = { [name: string]: Json };

export interface Cost { amount: number; currency: string; estimated?: boolean }
export interface Usage {
  input_tokens: number; output_tokens: number; cache_read_tokens: number; cache_write_tokens: number;
}
export interface Offer { id: string; name: string; description?: string }
export interface FileChange { path: string; old_text?: string | null; new_text?: string | null }
export interface PermissionOption { option_id: string; kind: string; name: string }
export interface Permission {
  permission_id: string; hash: string; tool: string; raw_input: Json; cwd: string;
  diff?: FileChange; more_diffs?: FileChange[]; paths?: string[];
  options: PermissionOption[]; claim_title?: string; deadline_ms?: number; tool_call_id?: string;
}
export interface Worktree { path: string; branch: string; repo: string; base: string; commit: string; left_behind: number }
export interface SessionInfo {
  id: string; name: string | null; agent: string; cwd: string; state: SessionState; reason: string | null;
  owner_id: string | null; owner_label: string | null; is_owner: boolean; owned_since: number | null;
  subscriber_count: number; created_at: number; last_activity_at: number; last_activity_ms: number; version: number;
  description: string | null; metadata: JsonObject; link: Link; orphan_policy: OrphanPolicy; ttl_s: number | null;
  pinned: boolean; preview: string | null; cost: Cost | null; pending_permissions: Permission[]; queued: number;
  turns: number; head: number; options: JsonObject; offers: { [option: string]: Offer[] }; deleted_at: number | null;
  parent_id: string | null; forked_at?: number; worktree?: Worktree; generation: number;
}
export interface Member {
  client_id: string; identity: string | null; role: Role; join: number; is_owner: boolean; is_you: boolean;
  connected: boolean; since: number; pid: number | null;
}
export interface AgentInfo {
  id: string; name: string; description: string; installed: boolean; env?: string[]; can?: string[];
  signed_in?: boolean; install?: string; sign_in?: string; accepts?: string[];
}
export interface Actor { client_id: string; label?: string }

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

export type TurnOutcome = "finished" | "interrupted" | "failed" | "unknown";
export type Outcome = "allowed" | "denied" | "expired" | "cancelled" | "withdrawn";
export interface PermissionResolved {
  permission_id: string; outcome: Outcome; by?: Actor; option_id?: string; rule?: string; message?: string;
  how?: string; waited_ms?: number;
}
/** One fact. `kind` says which; the other fields are those of PROTOCOL.md. */
export interface Fact { kind: string; [field: string]: unknown }
export interface WireRecord { session_id: string; epoch: number; seq: number; at_ms: number; fact: Fact }

export interface Turn {
  turn: number; input_seq: number; prompt: string; started_ms: number; ended_ms: number | null;
  outcome: TurnOutcome | null; stop_reason: string | null; error?: string; exit_code?: number;
  usage: Usage | null; cost: Cost | null; files?: string[]; more_files?: number;
  first_seq: number; last_seq: number | null;
}
export interface CostRow extends Usage { key: string; name?: string; turns: number; cost: Cost | null }
export interface Approval {
  session_id: string; agent: string; session_name: string | null; asked_ms: number; permission: Permission;
  resolved_ms: number | null; resolved: PermissionResolved | null;
}
export interface QueuedPrompt { input_seq: number; content: Block[] }
export interface AppliedRules { person: string | null; hash: string; scope: string; rules: number; applied_at: number; text: string }
export interface Launch { argv: string[]; options: JsonObject; env_names: string[]; umask?: number; once: boolean }
export interface DaemonStatus {
  pid: number; version: string; protocol: number; socket: string; epoch: number; sessions: number;
  runners: { session_id: string; generation: number; pid: number | null; agent_pid: number | null; link: Link }[];
  started_at: number; problems: string[];
}

/** What answers each request the page makes. */
export interface Answers {
  hello: { client_id: string; resume_token: string; epoch: number; daemon_version: string };
  list_sessions: { sessions: SessionInfo[]; ended: number; warnings?: string[]; next_cursor?: string };
  create_session: { session: SessionInfo; input_seq?: number };
  fork_session: { session: SessionInfo; input_seq?: number };
  subscribe: { sessions: { session: SessionInfo; head: number; pending_permissions: Permission[]; link: Link }[] };
  input: { session_id: string; seq: number };
  who: { session_id: string; members: Member[] };
  get_session: { session: SessionInfo; members: Member[]; launch: Launch; queue?: QueuedPrompt[] };
  read_records: { session_id: string; records: WireRecord[]; head: number };
  list_agents: { agents: AgentInfo[] };
  list_turns: { session_id: string; turns: Turn[]; next_before: number | null };
  get_costs: { costs: CostRow[] };
  list_approvals: { approvals: Approval[] };
  get_rules: { applied: AppliedRules[]; session_rules?: JsonObject[] };
  daemon_status: DaemonStatus;
  worktree: { session_id: string; diff?: string; truncated?: boolean; commit?: string; saved?: string };
}
export type AnswerOf<R extends string> = R extends keyof Answers ? Answers[R] : { type: "ok" };

/** A message from the daemon: an answer when it has a `request_id`, a notice or a record otherwise. */
export interface Message { type: string; request_id?: string; session_id?: string; [field: string]: unknown }

export function isEnded(state: SessionState): boolean {
  return state === "finished" || state === "failed" || state === "killed" || state === "expired";
}
