// Made by scripts/types.mjs from protocol/schema/v1; never edited.


/**
 * A session, for its whole life.
 */
export type SessionId = string
/**
 * A client: one connection, or the several that proved with a resume token to be the same.
 */
export type ClientId = string
/**
 * Where a subscription begins: after the record with this number (0 is the start), or at the end.
 */
export type After = (number | "end")
/**
 * How a request ended.
 */
export type Outcome = ("allowed" | "denied" | "expired" | "cancelled" | "withdrawn")
/**
 * How an answer came about.
 */
export type How = ("person" | "rule" | "session_rule" | "expiry" | "detached")
/**
 * What kind of program a client is.
 */
export type ClientKind = ("cli" | "web" | "script" | "bridge" | "other")
/**
 * The content of a prompt: plain text or ACP content blocks.
 */
export type Content = (string | unknown[])
/**
 * Where context that goes before a prompt is from.
 */
export type ContextSource = ("transcript" | "person")
/**
 * What costs are told by.
 */
export type CostsBy = ("day" | "week" | "agent" | "model" | "session" | "directory")
/**
 * What happens when the last subscriber leaves.
 */
export type OrphanPolicy = ("keep" | "suspend" | "remove")
/**
 * What happens to a question when nobody is there who could answer it.
 */
export type Detached = ("stall" | "deny")
/**
 * How the daemon stands to the session's agent.
 */
export type Link = ("live" | "adopting" | "lost" | "none")
/**
 * A decision by kind, for clients that do not name one of the agent's options.
 */
export type Decision = ("allow_once" | "allow_always" | "reject_once" | "reject_always")
/**
 * What went wrong, for programs.
 */
export type ErrorCode = ("BAD_REQUEST" | "UNKNOWN_TYPE" | "FRAME_TOO_LARGE" | "UNSUPPORTED_PROTOCOL" | "SESSION_NOT_FOUND" | "AMBIGUOUS_ID" | "NOT_SUBSCRIBED" | "READ_ONLY" | "NOT_OWNER" | "FORBIDDEN" | "VERSION_CONFLICT" | "ALREADY_DECIDED" | "PERMISSION_NOT_PENDING" | "BUSY" | "INVALID_STATE" | "AGENT_NOT_FOUND" | "AGENT_START_FAILED" | "AGENT_FAILED" | "LIMIT_EXCEEDED" | "RATE_LIMITED" | "STORE_FULL" | "STORE_FAILED" | "SHUTTING_DOWN" | "KILL_FAILED" | "ADOPTING" | "INTERNAL" | "OTHER")
/**
 * The kinds this crate knows, tagged `kind` in JSON.
 */
export type Fact = (CreatedFact | WorktreeFact | InputFact | UpdateFact | TurnStartedFact | TurnEndedFact | ContextAddedFact | NotDeliveredFact | InputDroppedFact | InputEditedFact | InputMovedFact | PermissionRequestedFact | PermissionResolvedFact | RuleAddedFact | RuleRemovedFact | StateChangedFact | OwnershipChangedFact | AgentStartedFact | AgentReadyFact | AgentStderrFact | AgentSilentFact | AgentWaitsFact | AgentExitedFact | UnparsedFact | AgentRequestRefusedFact | RenamedFact | MetadataChangedFact | OptionSetFact | OptionDroppedFact | RefusedFact | RecordsLostFact | TailLostFact)
/**
 * What was done with a worktree.
 */
export type WorktreeAction = ("made" | "merged" | "dropped")
/**
 * How a turn ended.
 */
export type TurnOutcome = ("finished" | "interrupted" | "failed" | "unknown")
/**
 * Where a session stands. The legal changes are one table in the core (`lifecycle`).
 */
export type SessionState = ("starting" | "idle" | "processing" | "waiting_permission" | "suspended" | "finished" | "failed" | "killed" | "expired")
/**
 * The role of a subscriber.
 */
export type Role = ("writer" | "viewer")
export type Message = (WelcomeMessage | SessionListMessage | SessionCreatedMessage | SessionMessage | SubscribedMessage | AcceptedMessage | MembersMessage | RecordsMessage | RulesMessage | RulesTestedMessage | ApprovalsMessage | TurnsMessage | CostsMessage | WorktreeMessage | AgentsMessage | DaemonStatusMessage | OkMessage | ErrorMessage | PongMessage | PingMessage | SessionNotificationMessage | SessionUpdatedMessage | SessionRemovedMessage | OwnershipTransferredMessage | RecordMessage | RewindMessage | GapMessage | ClosingMessage)
/**
 * What is to become of a request.
 */
export type Verdict = ("allow" | "deny" | "ask")
/**
 * Why a session left the default list.
 */
export type RemovedReason = ("owner_disconnected" | "killed" | "session_finished" | "expired" | "deleted")
export type Request = (HelloRequest | ListSessionsRequest | CreateSessionRequest | WorktreeRequest | ForkSessionRequest | SubscribeRequest | UnsubscribeRequest | InputRequest | EditInputRequest | MoveInputRequest | RemoveInputRequest | PermissionResponseRequest | InterruptRequest | KillSessionRequest | SuspendSessionRequest | ResumeSessionRequest | FinishSessionRequest | DeleteSessionRequest | UndeleteSessionRequest | UpdateSessionRequest | TransferOwnershipRequest | TakeOwnershipRequest | SetOptionRequest | WhoRequest | GetSessionRequest | ReadRecordsRequest | ApplyRulesRequest | GetRulesRequest | TestRulesRequest | RemoveRuleRequest | ListApprovalsRequest | ListTurnsRequest | GetCostsRequest | ListAgentsRequest | DaemonStatusRequest | StopDaemonRequest | PingRequest | PongRequest)
/**
 * What can be done with a worktree.
 */
export type WorktreeWish = ("diff" | "merge" | "drop")

export interface Wire {
AcceptedMessage?: AcceptedMessage
Actor?: Actor
After?: After
AgentExitedFact?: AgentExitedFact
AgentInfo?: AgentInfo
AgentReadyFact?: AgentReadyFact
AgentRequestRefusedFact?: AgentRequestRefusedFact
AgentSilentFact?: AgentSilentFact
AgentStartedFact?: AgentStartedFact
AgentStderrFact?: AgentStderrFact
AgentWaitsFact?: AgentWaitsFact
AgentsMessage?: AgentsMessage
AppliedRules?: AppliedRules
ApplyRulesRequest?: ApplyRulesRequest
Approval?: Approval
ApprovalsMessage?: ApprovalsMessage
ClientId?: ClientId
ClientKind?: ClientKind
ClientProgram?: ClientProgram
ClosingMessage?: ClosingMessage
Content?: Content
ContextAddedFact?: ContextAddedFact
ContextSource?: ContextSource
Cost?: Cost
CostSum?: CostSum
CostsBy?: CostsBy
CostsMessage?: CostsMessage
CreateSessionRequest?: CreateSessionRequest
CreatedFact?: CreatedFact
Cursor?: Cursor
DaemonStatusMessage?: DaemonStatusMessage
DaemonStatusRequest?: DaemonStatusRequest
Decision?: Decision
DeleteSessionRequest?: DeleteSessionRequest
Detached?: Detached
EditInputRequest?: EditInputRequest
ErrorCode?: ErrorCode
ErrorMessage?: ErrorMessage
Fact?: Fact
FinishSessionRequest?: FinishSessionRequest
ForSession?: ForSession
ForkSessionRequest?: ForkSessionRequest
GapMessage?: GapMessage
GetCostsRequest?: GetCostsRequest
GetRulesRequest?: GetRulesRequest
GetSessionRequest?: GetSessionRequest
HelloRequest?: HelloRequest
How?: How
InputDroppedFact?: InputDroppedFact
InputEditedFact?: InputEditedFact
InputFact?: InputFact
InputMovedFact?: InputMovedFact
InputRequest?: InputRequest
InterruptRequest?: InterruptRequest
KillSessionRequest?: KillSessionRequest
Limits?: Limits
Link?: Link
ListAgentsRequest?: ListAgentsRequest
ListApprovalsRequest?: ListApprovalsRequest
ListSessionsRequest?: ListSessionsRequest
ListTurnsRequest?: ListTurnsRequest
Member?: Member
MembersMessage?: MembersMessage
Message?: Message
MetadataChangedFact?: MetadataChangedFact
ModelUse?: ModelUse
MoveInputRequest?: MoveInputRequest
NotDeliveredFact?: NotDeliveredFact
OkMessage?: OkMessage
OptionDroppedFact?: OptionDroppedFact
OptionSetFact?: OptionSetFact
OrphanPolicy?: OrphanPolicy
Outcome?: Outcome
OwnershipChangedFact?: OwnershipChangedFact
OwnershipTransferredMessage?: OwnershipTransferredMessage
Permission?: Permission
PermissionOption?: PermissionOption
PermissionRequestedFact?: PermissionRequestedFact
PermissionResolved?: PermissionResolved
PermissionResolvedFact?: PermissionResolvedFact
PermissionResponseRequest?: PermissionResponseRequest
PingMessage?: PingMessage
PingRequest?: PingRequest
PongMessage?: PongMessage
PongRequest?: PongRequest
QueuedPrompt?: QueuedPrompt
ReadRecordsRequest?: ReadRecordsRequest
Record?: Record
RecordMessage?: RecordMessage
RecordsLostFact?: RecordsLostFact
RecordsMessage?: RecordsMessage
RefusedFact?: RefusedFact
RemoveInputRequest?: RemoveInputRequest
RemoveRuleRequest?: RemoveRuleRequest
RemovedReason?: RemovedReason
RenamedFact?: RenamedFact
Replayed?: Replayed
Request?: Request
ResumeSessionRequest?: ResumeSessionRequest
RewindMessage?: RewindMessage
Role?: Role
RuleAddedFact?: RuleAddedFact
RuleRemovedFact?: RuleRemovedFact
RulesMessage?: RulesMessage
RulesTestedMessage?: RulesTestedMessage
RunnerInfo?: RunnerInfo
SessionCreatedMessage?: SessionCreatedMessage
SessionId?: SessionId
SessionInfo?: SessionInfo
SessionListMessage?: SessionListMessage
SessionMessage?: SessionMessage
SessionNotificationMessage?: SessionNotificationMessage
SessionRemovedMessage?: SessionRemovedMessage
SessionRule?: SessionRule
SessionState?: SessionState
SessionUpdatedMessage?: SessionUpdatedMessage
SetOptionRequest?: SetOptionRequest
StateChangedFact?: StateChangedFact
StopDaemonRequest?: StopDaemonRequest
SubscribeRequest?: SubscribeRequest
SubscribedMessage?: SubscribedMessage
SubscribedSession?: SubscribedSession
Surface?: Surface
SuspendSessionRequest?: SuspendSessionRequest
TailLostFact?: TailLostFact
TakeOwnershipRequest?: TakeOwnershipRequest
TestRulesRequest?: TestRulesRequest
TransferOwnershipRequest?: TransferOwnershipRequest
TurnEndedFact?: TurnEndedFact
TurnInfo?: TurnInfo
TurnOutcome?: TurnOutcome
TurnStartedFact?: TurnStartedFact
TurnsMessage?: TurnsMessage
UndeleteSessionRequest?: UndeleteSessionRequest
UnparsedFact?: UnparsedFact
UnsubscribeRequest?: UnsubscribeRequest
UpdateFact?: UpdateFact
UpdateSessionRequest?: UpdateSessionRequest
Usage?: Usage
Verdict?: Verdict
WelcomeMessage?: WelcomeMessage
WhoRequest?: WhoRequest
Worktree?: Worktree
WorktreeAction?: WorktreeAction
WorktreeFact?: WorktreeFact
WorktreeMessage?: WorktreeMessage
WorktreeRequest?: WorktreeRequest
WorktreeWish?: WorktreeWish
}
/**
 * Answers `input`: it is committed and synced.
 */
export interface AcceptedMessage {
type: "accepted"
/**
 * The request.
 */
request_id?: (string | null)
session_id: SessionId
/**
 * The record of the prompt.
 */
seq: number
}
/**
 * Who did something: a client, and its seat for people.
 */
export interface Actor {
client_id: ClientId
/**
 * The client's identity (`user@host:tty`), when it gave one.
 */
label?: (string | null)
}
/**
 * The agent process ended.
 */
export interface AgentExitedFact {
kind: "agent_exited"
/**
 * Which start.
 */
generation: number
/**
 * Exit code, unless a signal ended it.
 */
code?: (number | null)
/**
 * Signal, if one ended it.
 */
signal?: (number | null)
}
/**
 * An agent the daemon can start.
 */
export interface AgentInfo {
/**
 * What `create_session` names.
 */
id: string
/**
 * For people.
 */
name: string
/**
 * For people.
 */
description: string
/**
 * Whether its program was found.
 */
installed: boolean
/**
 * Names of variables that a client should send besides those that every agent gets.
 */
env?: string[]
/**
 * What it can do, as was seen: `resume`, `permissions`, `images`, `modes`, `models`.
 */
can?: string[]
/**
 * Whether credentials were seen; absent where nobody knows what to look for.
 */
signed_in?: (boolean | null)
/**
 * How to install it.
 */
install?: (string | null)
/**
 * How to sign in.
 */
sign_in?: (string | null)
/**
 * Content blocks that prompts may have besides `text` and `resource_link`: `image`, `audio`, `resource`.
 */
accepts?: string[]
}
/**
 * The agent waits for its first prompt.
 */
export interface AgentReadyFact {
kind: "agent_ready"
/**
 * The number of this start in its session.
 */
generation: number
/**
 * How the conversation was opened: `new`, `resume` or `load`.
 */
how: string
/**
 * True when there was a conversation before and the agent could not take it up again.
 */
context_lost?: boolean
}
/**
 * The agent sent a request that vibes does not serve; it was refused with −32601.
 */
export interface AgentRequestRefusedFact {
kind: "agent_request_refused"
/**
 * The JSON-RPC method.
 */
method: string
}
/**
 * The agent has not answered in the time it has for that.
 */
export interface AgentSilentFact {
kind: "agent_silent"
/**
 * The method: `initialize`, `session/new`, …, or `session/cancel` for a turn that does not end.
 */
request: string
/**
 * How long was waited, in seconds.
 */
after_s: number
}
/**
 * An agent process was started.
 */
export interface AgentStartedFact {
kind: "agent_started"
/**
 * The number of this start in its session.
 */
generation: number
}
/**
 * The end of what the agent wrote to its standard error, kept because it failed.
 */
export interface AgentStderrFact {
kind: "agent_stderr"
/**
 * The text.
 */
text: string
}
/**
 * The agent waits for its model, and goes on by itself.
 */
export interface AgentWaitsFact {
kind: "agent_waits"
/**
 * Why, for a person.
 */
why: string
/**
 * Which try this is.
 */
attempt?: (number | null)
/**
 * How many it makes at most.
 */
of?: (number | null)
/**
 * When it tries again, in milliseconds from now, as it says.
 */
retry_ms?: (number | null)
/**
 * The HTTP status it got.
 */
status?: (number | null)
}
/**
 * Answers `list_agents`.
 */
export interface AgentsMessage {
type: "agents"
/**
 * The request.
 */
request_id?: (string | null)
/**
 * The agents.
 */
agents: AgentInfo[]
}
/**
 * A file of standing rules in force.
 */
export interface AppliedRules {
/**
 * Who applied it: `user@host`.
 */
person: (string | null)
/**
 * The SHA-256 of its text.
 */
hash: string
/**
 * `mine` or `all`.
 */
scope: string
/**
 * How many rules are in it.
 */
rules: number
/**
 * When it was applied, in seconds since the Unix epoch.
 */
applied_at: number
/**
 * The text.
 */
text: string
}
/**
 * Puts a file of standing rules in force, in place of the one this person applied before.
 */
export interface ApplyRulesRequest {
type: "apply_rules"
/**
 * The file's text.
 */
text: string
/**
 * Only say whether it is right.
 */
dry_run?: boolean
/**
 * Correlates the answer.
 */
request_id?: string
}
/**
 * A question and what became of it.
 */
export interface Approval {
session_id: SessionId
/**
 * The session's agent.
 */
agent: string
/**
 * Its name.
 */
session_name: (string | null)
/**
 * When it was asked, in milliseconds since the Unix epoch.
 */
asked_ms: number
permission: Permission
/**
 * When it was resolved, in milliseconds since the Unix epoch; null while it waits.
 */
resolved_ms: (number | null)
/**
 * How.
 */
resolved: (PermissionResolved | null)
}
/**
 * A request that waits for a person.
 */
export interface Permission {
/**
 * Unique over all sessions.
 */
permission_id: string
/**
 * SHA-256 of the raw request, in hexadecimal.
 */
hash: string
/**
 * The kind or name of the tool, as the agent sent it.
 */
tool: string
/**
 * The tool's input, verbatim.
 */
raw_input: {
[k: string]: unknown
}
/**
 * The session's working directory.
 */
cwd: string
/**
 * A change of a file, when the request carries one: `{path, old_text, new_text}`.
 */
diff?: {
[k: string]: unknown
}
/**
 * The other changes, when the request carries more than one.
 */
more_diffs?: unknown[]
/**
 * The files that the request names beside its input.
 */
paths?: string[]
/**
 * The answers that the agent offers.
 */
options: PermissionOption[]
/**
 * The agent's own words for what it wants: a claim, not a fact.
 */
claim_title?: (string | null)
/**
 * When it is denied by itself, in milliseconds since the Unix epoch.
 */
deadline_ms?: (number | null)
/**
 * The tool call it belongs to.
 */
tool_call_id?: (string | null)
}
/**
 * One answer that the agent offers.
 */
export interface PermissionOption {
/**
 * What goes back to the agent.
 */
option_id: string
/**
 * `allow_once`, `allow_always`, `reject_once`, `reject_always`, `answer` (to a question of the agent), or a kind we
 * do not know.
 */
kind: string
/**
 * The agent's label.
 */
name: string
}
/**
 * A request ended.
 */
export interface PermissionResolved {
/**
 * Which one.
 */
permission_id: string
outcome: Outcome
/**
 * Who answered, unless nobody did.
 */
by?: (Actor | null)
/**
 * The option that went to the agent.
 */
option_id?: (string | null)
/**
 * The standing rule that answered, if one did.
 */
rule?: (string | null)
/**
 * What the person added.
 */
message?: (string | null)
/**
 * How the answer came about, when there is one.
 */
how?: (How | null)
/**
 * The SHA-256 of the file that the standing rule stands in.
 */
rules?: (string | null)
/**
 * Where a person answered.
 */
surface?: (Surface | null)
/**
 * How long the request had waited, in milliseconds.
 */
waited_ms?: (number | null)
/**
 * The hash of the request, which the answer is bound to.
 */
hash?: (string | null)
/**
 * What the tool is called with instead of what was asked.
 */
updated_input?: {
[k: string]: unknown
}
/**
 * What was answered to the agent's questions.
 */
answers?: {
[k: string]: unknown
}
}
/**
 * Where an answer came from, as the kernel and the client tell it.
 */
export interface Surface {
/**
 * `cli`, `web`, `script`, `bridge`, `other`; what the client said of itself.
 */
kind?: (string | null)
/**
 * Its name and version; what it said of itself.
 */
program?: (string | null)
/**
 * Its process, from the kernel.
 */
pid?: (number | null)
/**
 * What that process runs.
 */
exe?: (string | null)
}
/**
 * Answers `list_approvals`.
 */
export interface ApprovalsMessage {
type: "approvals"
/**
 * The request.
 */
request_id?: (string | null)
/**
 * The questions, the newest first.
 */
approvals: Approval[]
}
/**
 * Which program a client is.
 */
export interface ClientProgram {
/**
 * Its name.
 */
name: string
/**
 * Its version.
 */
version?: string
kind: ClientKind
}
/**
 * The daemon closes the connection.
 */
export interface ClosingMessage {
type: "closing"
/**
 * `slow`, `shutdown`, `replaced`, `silent`.
 */
reason: string
/**
 * The last record sent, per session.
 */
resume_from: {
[k: string]: Cursor
}
}
/**
 * A cursor.
 */
export interface Cursor {
/**
 * The epoch of the record.
 */
epoch: number
/**
 * The record's number.
 */
seq: number
}
/**
 * Something was put before a turn's prompt, for the agent alone.
 */
export interface ContextAddedFact {
kind: "context_added"
/**
 * The number of the turn.
 */
turn: number
source: ContextSource
/**
 * What the agent was told, whole.
 */
text: string
/**
 * Of a transcript: how many turns it tells, up to the present one.
 */
turns?: number
/**
 * How many turns before these it leaves out.
 */
left_out?: number
/**
 * Why there is none, when it could not be made.
 */
error?: (string | null)
}
/**
 * Money.
 */
export interface Cost {
/**
 * How much, in units of the currency.
 */
amount: number
/**
 * ISO 4217 code.
 */
currency: string
/**
 * Whether any of it was computed from the price table instead of told by the agent.
 */
estimated?: boolean
}
/**
 * What turns took together.
 */
export interface CostSum {
/**
 * Which: a day, a week, an agent, a model, a session's id, a directory.
 */
key: string
/**
 * The session's name.
 */
name?: (string | null)
/**
 * How many turns.
 */
turns: number
/**
 * Tokens read by the model.
 */
input_tokens: number
/**
 * Tokens written by the model.
 */
output_tokens: number
/**
 * Tokens read from the cache.
 */
cache_read_tokens: number
/**
 * Tokens written to the cache.
 */
cache_write_tokens: number
/**
 * What they cost; null when nobody said and no price is known. Another currency is another sum.
 */
cost: (Cost | null)
}
/**
 * Answers `get_costs`.
 */
export interface CostsMessage {
type: "costs"
/**
 * The request.
 */
request_id?: (string | null)
/**
 * The sums: days and weeks in their order, all else the dearest first.
 */
costs: CostSum[]
}
/**
 * Creates a session and starts its agent.
 */
export interface CreateSessionRequest {
type: "create_session"
/**
 * The agent's name.
 */
agent: string
/**
 * The working directory, absolute.
 */
cwd: string
/**
 * Its name.
 */
name?: (string | null)
/**
 * The first prompt.
 */
prompt?: (Content | null)
/**
 * A conversation that the agent began without vibes, to be taken up: its id there, or `last`.
 */
conversation?: (string | null)
/**
 * Free text.
 */
description?: (string | null)
/**
 * Free data.
 */
metadata?: {
[k: string]: unknown
}
/**
 * More arguments for the agent's program.
 */
args?: string[]
/**
 * Options of the agent, such as `mode` and `model`.
 */
options?: {
[k: string]: unknown
}
/**
 * Short for the option `mode`.
 */
mode?: (string | null)
/**
 * What happens when the last subscriber leaves.
 */
orphan_policy?: (OrphanPolicy | null)
/**
 * Time to live without activity, in seconds.
 */
ttl_s?: (number | null)
/**
 * Environment of the client; values are never stored.
 */
env?: {
[k: string]: string
}
/**
 * The client's umask, for the agent.
 */
umask?: (number | null)
/**
 * A branch and a worktree of its own, of this name; empty when it is to be chosen.
 */
worktree?: (string | null)
/**
 * How long its agent's questions wait before they are denied, in seconds; 0 is for ever.
 */
approval_deadline_s?: (number | null)
/**
 * What becomes of them when nobody is there who could answer.
 */
detached?: (Detached | null)
/**
 * Finish the session after its first turn.
 */
once?: boolean
/**
 * Join it from the start.
 */
subscribe?: boolean
/**
 * Answer only when the agent is ready for its first prompt, or could not be started.
 */
wait_ready?: boolean
/**
 * Makes a retry the same session.
 */
idempotency_key?: (string | null)
/**
 * Correlates the answer.
 */
request_id?: string
}
/**
 * The session was created.
 */
export interface CreatedFact {
kind: "created"
/**
 * The agent's name.
 */
agent: string
/**
 * The working directory.
 */
cwd: string
/**
 * Its name, if it got one.
 */
name?: (string | null)
/**
 * The session that it goes on from.
 */
parent_id?: (SessionId | null)
/**
 * The last record of that one that it knows.
 */
forked_at?: (number | null)
}
/**
 * Answers `daemon_status`.
 */
export interface DaemonStatusMessage {
type: "daemon_status"
/**
 * The request.
 */
request_id?: (string | null)
/**
 * The daemon's process.
 */
pid: number
/**
 * Its version.
 */
version: string
/**
 * The protocol it speaks.
 */
protocol: number
/**
 * Its socket.
 */
socket: string
/**
 * The store's continuity number.
 */
epoch: number
/**
 * Sessions that have not ended.
 */
sessions: number
/**
 * Live runners.
 */
runners: RunnerInfo[]
/**
 * When it started, in seconds since the Unix epoch.
 */
started_at: number
/**
 * What is wrong, in sentences; empty when nothing is.
 */
problems: string[]
}
/**
 * A session's live runner, in `daemon_status`.
 */
export interface RunnerInfo {
session_id: SessionId
/**
 * Which start of the agent.
 */
generation: number
/**
 * The runner's process, once known.
 */
pid: (number | null)
/**
 * The agent's process, once known.
 */
agent_pid: (number | null)
link: Link
}
/**
 * Tells about the daemon.
 */
export interface DaemonStatusRequest {
type: "daemon_status"
/**
 * Correlates the answer.
 */
request_id?: string
}
/**
 * Deletes a session; it can be undeleted.
 */
export interface DeleteSessionRequest {
type: "delete_session"
/**
 * Which session.
 */
session_id: string
/**
 * For good: nothing of it is kept. A session that is deleted already may be purged as well.
 */
purge?: boolean
/**
 * Correlates the answer.
 */
request_id?: string
}
/**
 * Changes the words of a prompt that waits.
 */
export interface EditInputRequest {
type: "edit_input"
/**
 * In which session.
 */
session_id: string
/**
 * The record of the prompt.
 */
input_seq: number
content: Content
/**
 * Correlates the answer.
 */
request_id?: string
}
/**
 * Answers a request that failed, or reports a fault of the connection.
 */
export interface ErrorMessage {
type: "error"
/**
 * The request.
 */
request_id?: (string | null)
/**
 * The session concerned.
 */
session_id?: (SessionId | null)
code: ErrorCode
/**
 * For people.
 */
message: string
}
/**
 * Something was done with the session's worktree.
 */
export interface WorktreeFact {
kind: "worktree"
action: WorktreeAction
worktree: Worktree
/**
 * The commit that a merge made.
 */
commit?: (string | null)
/**
 * The ref that holds what was there before.
 */
saved?: (string | null)
/**
 * Who did it, where somebody did.
 */
by?: (Actor | null)
}
/**
 * A branch of a session, and the directory where it is checked out.
 */
export interface Worktree {
/**
 * The directory.
 */
path: string
/**
 * The branch.
 */
branch: string
/**
 * The directory of the repository that it was made from.
 */
repo: string
/**
 * The branch that was checked out there.
 */
base: string
/**
 * The commit that it began at.
 */
commit: string
/**
 * The hash of what the repository's configuration said then of programs that git runs.
 */
config: string
/**
 * How many files had changes there that were not committed, and are not in it.
 */
left_behind: number
}
/**
 * A prompt was accepted.
 */
export interface InputFact {
kind: "input"
/**
 * ACP content blocks.
 */
content: unknown[]
by: Actor
/**
 * Whether it had to wait behind a running turn.
 */
queued?: boolean
}
/**
 * Something an agent said: an ACP `SessionUpdate`, verbatim.
 */
export interface UpdateFact {
kind: "update"
/**
 * The ACP update.
 */
update: {
[k: string]: unknown
}
}
/**
 * A prompt was given to the agent.
 */
export interface TurnStartedFact {
kind: "turn_started"
/**
 * The number of the turn in its session, from 1.
 */
turn: number
/**
 * The record of its prompt.
 */
input_seq: number
}
/**
 * A turn ended.
 */
export interface TurnEndedFact {
kind: "turn_ended"
/**
 * The number of the turn.
 */
turn: number
outcome: TurnOutcome
/**
 * The agent's own word (`end_turn`, `cancelled`, …), or ours when it said none.
 */
stop_reason: string
/**
 * Tokens, when the agent said.
 */
usage?: (Usage | null)
/**
 * What the turn cost, when the agent said.
 */
cost?: (Cost | null)
/**
 * Tokens and cost by model, when the agent said: as `usage`, with a `cost`.
 */
models?: {
[k: string]: unknown
}
/**
 * The failure, for a person.
 */
error?: (string | null)
/**
 * The exit code of the command, for agents that run one per turn.
 */
exit_code?: (number | null)
}
/**
 * Tokens of a turn, as the agent reported them.
 */
export interface Usage {
/**
 * Tokens read by the model.
 */
input_tokens: number
/**
 * Tokens written by the model.
 */
output_tokens: number
/**
 * Tokens read from the cache.
 */
cache_read_tokens: number
/**
 * Tokens written to the cache.
 */
cache_write_tokens: number
}
/**
 * A prompt that was accepted did not reach the agent; it stays in the queue.
 */
export interface NotDeliveredFact {
kind: "not_delivered"
/**
 * The record of the prompt.
 */
input_seq: number
}
/**
 * A queued prompt was dropped: somebody removed it, or the session ended.
 */
export interface InputDroppedFact {
kind: "input_dropped"
/**
 * The record of the prompt.
 */
input_seq: number
/**
 * Who removed it, if somebody did.
 */
by?: (Actor | null)
}
/**
 * The words of a queued prompt were changed.
 */
export interface InputEditedFact {
kind: "input_edited"
/**
 * The record of the prompt.
 */
input_seq: number
/**
 * What is said instead: ACP content blocks.
 */
content: unknown[]
by: Actor
}
/**
 * A queued prompt was moved.
 */
export interface InputMovedFact {
kind: "input_moved"
/**
 * The record of the prompt.
 */
input_seq: number
/**
 * Its new place in the queue: 1 is the next to run.
 */
place: number
by: Actor
}
/**
 * The agent asks.
 */
export interface PermissionRequestedFact {
kind: "permission_requested"
permission: Permission
}
/**
 * A request ended.
 */
export interface PermissionResolvedFact {
kind: "permission_resolved"
/**
 * Which one.
 */
permission_id: string
outcome: Outcome
/**
 * Who answered, unless nobody did.
 */
by?: (Actor | null)
/**
 * The option that went to the agent.
 */
option_id?: (string | null)
/**
 * The standing rule that answered, if one did.
 */
rule?: (string | null)
/**
 * What the person added.
 */
message?: (string | null)
/**
 * How the answer came about, when there is one.
 */
how?: (How | null)
/**
 * The SHA-256 of the file that the standing rule stands in.
 */
rules?: (string | null)
/**
 * Where a person answered.
 */
surface?: (Surface | null)
/**
 * How long the request had waited, in milliseconds.
 */
waited_ms?: (number | null)
/**
 * The hash of the request, which the answer is bound to.
 */
hash?: (string | null)
/**
 * What the tool is called with instead of what was asked.
 */
updated_input?: {
[k: string]: unknown
}
/**
 * What was answered to the agent's questions.
 */
answers?: {
[k: string]: unknown
}
}
/**
 * A rule of the session was made: its like is allowed from now on.
 */
export interface RuleAddedFact {
kind: "rule_added"
rule: SessionRule
}
/**
 * What a session allows from now on without asking: made from a request that somebody allowed.
 */
export interface SessionRule {
/**
 * Unique in its session: `s1`, `s2`, …
 */
name: string
/**
 * The tool it is about.
 */
tool: string
/**
 * The directory it is about.
 */
cwd: string
/**
 * Just this command line.
 */
command?: (string | null)
/**
 * Or plain commands of this pattern.
 */
pattern?: (string[] | null)
/**
 * Just these files.
 */
paths?: string[]
/**
 * Just this input, where it names neither: its SHA-256.
 */
input_sha256?: (string | null)
/**
 * Who made it.
 */
by?: (Actor | null)
/**
 * When, in milliseconds since the Unix epoch.
 */
at_ms: number
}
/**
 * A rule of the session was taken away.
 */
export interface RuleRemovedFact {
kind: "rule_removed"
/**
 * Its name.
 */
name: string
by: Actor
}
/**
 * The session's state changed.
 */
export interface StateChangedFact {
kind: "state_changed"
from: SessionState
to: SessionState
/**
 * Why, for a person.
 */
reason?: (string | null)
/**
 * Who asked for it, if somebody did.
 */
by?: (Actor | null)
}
/**
 * Ownership passed on.
 */
export interface OwnershipChangedFact {
kind: "ownership_changed"
/**
 * The new owner; null when the session is vacant.
 */
owner_id: (ClientId | null)
/**
 * The new owner's seat.
 */
owner_label?: (string | null)
/**
 * `joined`, `left`, `transferred`, `taken`.
 */
cause: string
}
/**
 * A line of the agent that could not be understood, kept.
 */
export interface UnparsedFact {
kind: "unparsed"
/**
 * The line (its first 64 KiB), with broken UTF-8 replaced.
 */
text: string
/**
 * Its length in bytes.
 */
bytes: number
/**
 * What was wrong with it.
 */
why: string
/**
 * SHA-256 of the whole line, when it is not all here.
 */
sha256?: (string | null)
/**
 * The bytes that `text` shows in hexadecimal, when they are not UTF-8.
 */
hex?: (string | null)
}
/**
 * The name changed.
 */
export interface RenamedFact {
kind: "renamed"
/**
 * The new name.
 */
name: (string | null)
}
/**
 * Editable metadata changed.
 */
export interface MetadataChangedFact {
kind: "metadata_changed"
/**
 * The new version.
 */
version: number
/**
 * What changed, with the new values.
 */
changes: {
[k: string]: unknown
}
}
/**
 * An option of the agent was set.
 */
export interface OptionSetFact {
kind: "option_set"
/**
 * Which.
 */
option_id: string
/**
 * To what.
 */
value: {
[k: string]: unknown
}
}
/**
 * An option that the session had could not be set in the agent that goes on with it: it no longer offers it.
 */
export interface OptionDroppedFact {
kind: "option_dropped"
/**
 * Which.
 */
option_id: string
/**
 * What it was set to.
 */
value: {
[k: string]: unknown
}
/**
 * Why not, and what there is instead.
 */
why: string
}
/**
 * A request was refused because it came from inside a session's own agent.
 */
export interface RefusedFact {
kind: "refused"
/**
 * The message's type.
 */
request: string
/**
 * The peer's process id.
 */
pid?: (number | null)
}
/**
 * This record is lost, with its neighbours: the store was damaged. Each of them is told by one of these.
 */
export interface RecordsLostFact {
kind: "records_lost"
/**
 * The first that is lost.
 */
first: number
/**
 * The last.
 */
last: number
}
/**
 * Part of what the agent wrote is lost.
 */
export interface TailLostFact {
kind: "tail_lost"
/**
 * Where it would have begun, in the agent's output.
 */
offset: number
/**
 * Why.
 */
why: string
}
/**
 * Ends a session well.
 */
export interface FinishSessionRequest {
type: "finish_session"
/**
 * Which session.
 */
session_id: string
/**
 * Correlates the answer.
 */
request_id?: string
}
/**
 * How much more than this very request is to be allowed. Empty: nothing more.
 */
export interface ForSession {
/**
 * Commands of this pattern, word by word.
 */
pattern?: (string[] | null)
/**
 * Files at this place.
 */
path?: (string | null)
}
/**
 * Makes a session that goes on from where another one is, or was.
 */
export interface ForkSessionRequest {
type: "fork_session"
/**
 * From which session.
 */
session_id: string
/**
 * The last of its records that the new one knows; all of them otherwise.
 */
at?: (number | null)
/**
 * Another agent, which is told what was said.
 */
agent?: (string | null)
/**
 * Its name.
 */
name?: (string | null)
/**
 * Its first prompt.
 */
prompt?: (Content | null)
/**
 * Environment of the client; values are never stored.
 */
env?: {
[k: string]: string
}
/**
 * The client's umask, for the agent.
 */
umask?: (number | null)
/**
 * Join it from the start.
 */
subscribe?: boolean
/**
 * Answer only when the agent is ready for its first prompt, or could not be started.
 */
wait_ready?: boolean
/**
 * Makes a retry the same session.
 */
idempotency_key?: (string | null)
/**
 * Correlates the answer.
 */
request_id?: string
}
/**
 * Records that can no longer be replayed.
 */
export interface GapMessage {
type: "gap"
session_id: SessionId
/**
 * The first one missing.
 */
from: number
/**
 * The last one missing.
 */
to: number
/**
 * Why.
 */
reason: string
}
/**
 * Tells what was spent, over all sessions, deleted ones too.
 */
export interface GetCostsRequest {
type: "get_costs"
by?: CostsBy
/**
 * From this day on (`2026-11-01`), or so many hours, days or weeks ago (`12h`, `7d`, `4w`).
 */
since?: (string | null)
/**
 * Until the end of this day, or so long ago.
 */
until?: (string | null)
/**
 * At most so many sums.
 */
limit?: (number | null)
/**
 * Correlates the answer.
 */
request_id?: string
}
/**
 * Tells the rules in force, or those of a session.
 */
export interface GetRulesRequest {
type: "get_rules"
/**
 * Which session's; none for the standing ones.
 */
session_id?: (string | null)
/**
 * Correlates the answer.
 */
request_id?: string
}
/**
 * Reads one session without joining it.
 */
export interface GetSessionRequest {
type: "get_session"
/**
 * Which session.
 */
session_id: string
/**
 * Correlates the answer.
 */
request_id?: string
}
/**
 * Introduces the client. Optional.
 */
export interface HelloRequest {
type: "hello"
/**
 * The protocol the client speaks.
 */
protocol: number
client: ClientProgram
/**
 * The person's seat, for people: `user@host:tty`.
 */
identity?: (string | null)
/**
 * To be the same client again.
 */
client_id?: (ClientId | null)
/**
 * Proves it.
 */
resume_token?: (string | null)
/**
 * Delays the leave after a lost connection, in milliseconds; at most 60,000.
 */
grace_ms?: (number | null)
/**
 * Asks for pings at this interval, in milliseconds; silence of three intervals is a leave.
 */
heartbeat_ms?: (number | null)
/**
 * Correlates the answer.
 */
request_id?: string
}
/**
 * Gives the agent a prompt.
 */
export interface InputRequest {
type: "input"
/**
 * To which session.
 */
session_id: string
content: Content
/**
 * Makes a retry the same input.
 */
idempotency_key?: (string | null)
/**
 * Interrupts a running turn first.
 */
now?: boolean
/**
 * Correlates the answer.
 */
request_id?: string
}
/**
 * Cancels the running turn and keeps the session.
 */
export interface InterruptRequest {
type: "interrupt"
/**
 * Which session.
 */
session_id: string
/**
 * Which turn is meant: when it has ended already there is nothing to do, so repeating the request is safe. The
 * running one when absent.
 */
turn?: (number | null)
/**
 * Correlates the answer.
 */
request_id?: string
}
/**
 * Ends a session and verifies that its processes are gone.
 */
export interface KillSessionRequest {
type: "kill_session"
/**
 * Which session.
 */
session_id: string
/**
 * Correlates the answer.
 */
request_id?: string
}
/**
 * Limits a client should know.
 */
export interface Limits {
/**
 * The longest line the daemon reads, in bytes.
 */
max_line_bytes: number
/**
 * How many requests may wait for their answer on one connection.
 */
max_outstanding: number
/**
 * How many prompts may wait in one session.
 */
max_queued_prompts: number
}
/**
 * Lists the agents the daemon can start.
 */
export interface ListAgentsRequest {
type: "list_agents"
/**
 * Environment of the client, to look for programs and credentials in; values are never stored.
 */
env?: {
[k: string]: string
}
/**
 * Correlates the answer.
 */
request_id?: string
}
/**
 * Tells what became of questions, over all sessions, the newest first.
 */
export interface ListApprovalsRequest {
type: "list_approvals"
/**
 * Only of these sessions.
 */
session_ids?: (string[] | null)
/**
 * At most this many.
 */
limit?: (number | null)
/**
 * Correlates the answer.
 */
request_id?: string
}
/**
 * Lists sessions, the most recently active first.
 */
export interface ListSessionsRequest {
type: "list_sessions"
/**
 * Only these states.
 */
states?: (SessionState[] | null)
/**
 * Only this agent.
 */
agent?: (string | null)
/**
 * Ended ones too.
 */
include_ended?: boolean
/**
 * Only those whose id, name, directory, description or preview has this text.
 */
search?: (string | null)
/**
 * At most this many.
 */
limit?: (number | null)
/**
 * Goes on after an earlier page.
 */
cursor?: (string | null)
/**
 * Correlates the answer.
 */
request_id?: string
}
/**
 * Tells the turns of a session, the newest first.
 */
export interface ListTurnsRequest {
type: "list_turns"
/**
 * Of which session; one that rests is not woken for it.
 */
session_id: string
/**
 * Only those before this turn.
 */
before?: (number | null)
/**
 * At most this many.
 */
limit?: (number | null)
/**
 * Correlates the answer.
 */
request_id?: string
}
/**
 * A subscriber, in `members`.
 */
export interface Member {
client_id: ClientId
/**
 * Its seat, for people.
 */
identity: (string | null)
role: Role
/**
 * Its place in the join order.
 */
join: number
/**
 * Whether it owns the session.
 */
is_owner: boolean
/**
 * Whether it is the client that asks.
 */
is_you: boolean
/**
 * False while it may still come back.
 */
connected: boolean
/**
 * When it joined, in seconds since the Unix epoch.
 */
since: number
/**
 * Its process, while connected.
 */
pid: (number | null)
}
/**
 * Answers `who`.
 */
export interface MembersMessage {
type: "members"
/**
 * The request.
 */
request_id?: (string | null)
session_id: SessionId
/**
 * Its subscribers, in join order.
 */
members: Member[]
}
/**
 * Answers `hello`.
 */
export interface WelcomeMessage {
type: "welcome"
/**
 * The request.
 */
request_id?: (string | null)
/**
 * The protocol spoken.
 */
protocol: number
/**
 * The daemon's version.
 */
daemon_version: string
client_id: ClientId
/**
 * Proves it on the next connection.
 */
resume_token: string
/**
 * The store's continuity number.
 */
epoch: number
limits: Limits
}
/**
 * Answers `list_sessions`.
 */
export interface SessionListMessage {
type: "session_list"
/**
 * The request.
 */
request_id?: (string | null)
/**
 * The sessions, most recently active first.
 */
sessions: SessionInfo[]
/**
 * What is wrong with the daemon or its store, in sentences for a person.
 */
warnings?: string[]
/**
 * How many sessions outside the answer have ended.
 */
ended: number
/**
 * Asks for the next page.
 */
next_cursor?: (string | null)
}
/**
 * One session in lists and notices. Times are whole seconds since the Unix epoch.
 */
export interface SessionInfo {
id: SessionId
/**
 * Its name, unique among sessions that have not ended.
 */
name: (string | null)
/**
 * The agent's name, such as `shell`.
 */
agent: string
/**
 * The working directory.
 */
cwd: string
state: SessionState
/**
 * Why it is suspended or failed, for a person.
 */
reason: (string | null)
/**
 * The owner, when there is one.
 */
owner_id: (ClientId | null)
/**
 * The owner's seat, for people.
 */
owner_label: (string | null)
/**
 * Whether the connection that reads this owns the session.
 */
is_owner: boolean
/**
 * When the present owner became it.
 */
owned_since: (number | null)
/**
 * How many subscribers, the owner included.
 */
subscriber_count: number
/**
 * When it was created.
 */
created_at: number
/**
 * When something last happened in it.
 */
last_activity_at: number
/**
 * The same in milliseconds: the order of lists.
 */
last_activity_ms: number
/**
 * Counts changes of the editable metadata.
 */
version: number
/**
 * Free text.
 */
description: (string | null)
/**
 * Free data.
 */
metadata: {
[k: string]: unknown
}
link: Link
orphan_policy: OrphanPolicy
/**
 * Time to live in seconds without activity, when it differs from the daemon's.
 */
ttl_s: (number | null)
/**
 * Whether it is kept from expiring.
 */
pinned: boolean
/**
 * The last words of the conversation, one line.
 */
preview: (string | null)
/**
 * What the session has cost so far, when the agent says.
 */
cost: (Cost | null)
/**
 * Requests that wait for an answer.
 */
pending_permissions: Permission[]
/**
 * Prompts accepted and not yet given to the agent.
 */
queued: number
/**
 * How many turns have begun.
 */
turns: number
/**
 * The number of the last record.
 */
head: number
/**
 * Options the agent offers (mode, model, …) with their present values.
 */
options: {
[k: string]: unknown
}
/**
 * What each option can be set to: `{id: [{id, name}]}`.
 */
offers: {
[k: string]: unknown
}
/**
 * Set while the session is deleted and can be undeleted.
 */
deleted_at: (number | null)
/**
 * The session this one was made from.
 */
parent_id: (SessionId | null)
/**
 * The last record of that one that this one goes on from.
 */
forked_at?: (number | null)
/**
 * Its own branch and directory, when it has one.
 */
worktree?: (Worktree | null)
/**
 * How often an agent process was started for it.
 */
generation: number
}
/**
 * Answers `create_session`.
 */
export interface SessionCreatedMessage {
type: "session_created"
/**
 * The request.
 */
request_id?: (string | null)
session: SessionInfo
/**
 * The record of its first prompt.
 */
input_seq?: (number | null)
}
/**
 * Answers `get_session`.
 */
export interface SessionMessage {
type: "session"
/**
 * The request.
 */
request_id?: (string | null)
session: SessionInfo
/**
 * Its subscribers.
 */
members: Member[]
/**
 * What was started, without the values of its environment.
 */
launch: {
[k: string]: unknown
}
/**
 * The prompts that wait, the next one first.
 */
queue?: QueuedPrompt[]
}
/**
 * A prompt that waits for its turn.
 */
export interface QueuedPrompt {
/**
 * The record of the prompt.
 */
input_seq: number
/**
 * ACP content blocks, as last edited.
 */
content: unknown[]
}
/**
 * Answers `subscribe`, once; then come the records.
 */
export interface SubscribedMessage {
type: "subscribed"
/**
 * The request.
 */
request_id?: (string | null)
/**
 * The sessions joined.
 */
sessions: SubscribedSession[]
}
/**
 * One session of a `subscribed` answer.
 */
export interface SubscribedSession {
session: SessionInfo
/**
 * The number of its last record.
 */
head: number
/**
 * What waits for an answer.
 */
pending_permissions: Permission[]
link: Link
}
/**
 * Answers `read_records`.
 */
export interface RecordsMessage {
type: "records"
/**
 * The request.
 */
request_id?: (string | null)
session_id: SessionId
/**
 * The records, in order.
 */
records: Record[]
/**
 * The session's last record.
 */
head: number
}
/**
 * A record on the wire.
 */
export interface Record {
session_id: SessionId
/**
 * Under which epoch it was written.
 */
epoch: number
/**
 * Its number.
 */
seq: number
/**
 * When, in milliseconds since the Unix epoch.
 */
at_ms: number
fact: Fact
}
/**
 * Answers `apply_rules` and `get_rules`.
 */
export interface RulesMessage {
type: "rules"
/**
 * The request.
 */
request_id?: (string | null)
/**
 * The files in force or, for a dry run, the one that was read.
 */
applied: AppliedRules[]
/**
 * The rules of the session that was asked about.
 */
session_rules?: SessionRule[]
}
/**
 * Answers `test_rules`.
 */
export interface RulesTestedMessage {
type: "rules_tested"
/**
 * The request.
 */
request_id?: (string | null)
/**
 * The SHA-256 of the file.
 */
hash: string
/**
 * How many questions were replayed.
 */
replayed: number
/**
 * How many of them it would allow.
 */
allowed: number
/**
 * How many it would deny.
 */
denied: number
/**
 * Those for which something would change, the newest first.
 */
changes: Replayed[]
}
/**
 * A recorded question under a file of rules that is not in force.
 */
export interface Replayed {
approval: Approval
now: Verdict
/**
 * Which of them.
 */
now_rule?: (string | null)
then: Verdict
/**
 * Which of its rules.
 */
then_rule?: (string | null)
/**
 * Why a rule that allows does not count.
 */
guarded?: (string | null)
/**
 * Files outside of the session's directory that the question names.
 */
outside?: string[]
}
/**
 * Answers `list_turns`.
 */
export interface TurnsMessage {
type: "turns"
/**
 * The request.
 */
request_id?: (string | null)
session_id: SessionId
/**
 * The turns, the newest first.
 */
turns: TurnInfo[]
/**
 * For `before`, when there are more.
 */
next_before: (number | null)
}
/**
 * One turn of a session.
 */
export interface TurnInfo {
/**
 * Its number in the session.
 */
turn: number
/**
 * The record of its prompt.
 */
input_seq: number
/**
 * The text of the prompt, cut when it is long.
 */
prompt: string
/**
 * When it began, in milliseconds.
 */
started_ms: number
/**
 * When it ended, in milliseconds; null while it runs.
 */
ended_ms: (number | null)
/**
 * How it ended; null while it runs.
 */
outcome: (TurnOutcome | null)
/**
 * The agent's own word for the end, or ours when it said none.
 */
stop_reason: (string | null)
/**
 * Tokens, when the agent said.
 */
usage: (Usage | null)
/**
 * What it cost, when the agent said or a price is known.
 */
cost: (Cost | null)
/**
 * Tokens and cost by model.
 */
models?: {
[k: string]: ModelUse
}
/**
 * Files that its tool calls changed, made, moved or deleted, as the agent named them.
 */
files: string[]
/**
 * How often others were besides; one of them may count more than once.
 */
more_files?: number
/**
 * Why it failed.
 */
error?: (string | null)
/**
 * The exit code of its command, for agents that run one.
 */
exit_code?: (number | null)
/**
 * The record that it begins with.
 */
first_seq: number
/**
 * The record that it ends with; null while it runs.
 */
last_seq: (number | null)
}
/**
 * What one model had to do with a turn.
 */
export interface ModelUse {
/**
 * Tokens read by the model.
 */
input_tokens: number
/**
 * Tokens written by the model.
 */
output_tokens: number
/**
 * Tokens read from the cache.
 */
cache_read_tokens: number
/**
 * Tokens written to the cache.
 */
cache_write_tokens: number
/**
 * What that cost.
 */
cost?: (Cost | null)
}
/**
 * Answers `worktree`.
 */
export interface WorktreeMessage {
type: "worktree"
/**
 * The request.
 */
request_id?: (string | null)
session_id: SessionId
worktree: Worktree
/**
 * What it changes, as git shows it.
 */
diff?: (string | null)
/**
 * Whether there is more of it than is told.
 */
truncated?: boolean
/**
 * The commit that a merge made.
 */
commit?: (string | null)
/**
 * The ref that holds what was there before.
 */
saved?: (string | null)
}
/**
 * Answers a request that has nothing more to say.
 */
export interface OkMessage {
type: "ok"
/**
 * The request.
 */
request_id?: (string | null)
}
/**
 * Answers `ping`.
 */
export interface PongMessage {
type: "pong"
/**
 * The request.
 */
request_id?: (string | null)
}
/**
 * Asks the client for a sign of life.
 */
export interface PingMessage {
type: "ping"
}
/**
 * A session was created; to every client.
 */
export interface SessionNotificationMessage {
type: "session_notification"
session: SessionInfo
}
/**
 * Something about a session changed; to every client, at most four times a second.
 */
export interface SessionUpdatedMessage {
type: "session_updated"
session: SessionInfo
}
/**
 * A session left the default list; to every client.
 */
export interface SessionRemovedMessage {
type: "session_removed"
session_id: SessionId
reason: RemovedReason
}
/**
 * Ownership passed on; to every client.
 */
export interface OwnershipTransferredMessage {
type: "ownership_transferred"
session_id: SessionId
/**
 * To whom; null when the session is vacant.
 */
new_owner_id: (ClientId | null)
/**
 * Whether that is the client that reads this.
 */
you_are_owner: boolean
}
/**
 * A record of a subscribed session.
 */
export interface RecordMessage {
type: "record"
session_id: SessionId
/**
 * Under which epoch it was written.
 */
epoch: number
/**
 * Its number.
 */
seq: number
/**
 * When, in milliseconds since the Unix epoch.
 */
at_ms: number
fact: Fact
}
/**
 * The cursor's future was lost; cut back to here and go on.
 */
export interface RewindMessage {
type: "rewind"
session_id: SessionId
to: Cursor
}
/**
 * Moves a prompt that waits to another place in the queue.
 */
export interface MoveInputRequest {
type: "move_input"
/**
 * In which session.
 */
session_id: string
/**
 * The record of the prompt.
 */
input_seq: number
/**
 * Its new place: 1 is the next to run; a place behind the last is the last.
 */
place: number
/**
 * Correlates the answer.
 */
request_id?: string
}
/**
 * Answers an agent's request.
 */
export interface PermissionResponseRequest {
type: "permission_response"
/**
 * In which session.
 */
session_id: string
/**
 * Which request.
 */
permission_id: string
/**
 * The hash that was shown with it.
 */
hash: string
/**
 * One of the agent's options, or:
 */
option_id?: (string | null)
/**
 * a decision by kind.
 */
decision?: (Decision | null)
/**
 * Words for the agent, where it takes them.
 */
message?: (string | null)
/**
 * Another input for the tool, where the agent takes it.
 */
updated_input?: {
[k: string]: unknown
}
/**
 * Answers to the agent's questions.
 */
answers?: {
[k: string]: unknown
}
/**
 * Allow this once, and its like for the rest of the session: by a rule of vibes, whatever the agent's own
 * options mean.
 */
for_session?: (ForSession | null)
/**
 * Correlates the answer.
 */
request_id?: string
}
/**
 * Asks for a sign of life.
 */
export interface PingRequest {
type: "ping"
/**
 * Correlates the answer.
 */
request_id?: string
}
/**
 * Answers the daemon's ping.
 */
export interface PongRequest {
type: "pong"
/**
 * Correlates the answer.
 */
request_id?: string
}
/**
 * Reads records without joining.
 */
export interface ReadRecordsRequest {
type: "read_records"
/**
 * Of which session.
 */
session_id: string
/**
 * The last record seen; 0 is the start.
 */
after?: number
/**
 * At most this many; an answer also ends near 1 MiB.
 */
limit?: (number | null)
/**
 * Correlates the answer.
 */
request_id?: string
}
/**
 * Removes a prompt that waits.
 */
export interface RemoveInputRequest {
type: "remove_input"
/**
 * In which session.
 */
session_id: string
/**
 * The record of the prompt.
 */
input_seq: number
/**
 * Correlates the answer.
 */
request_id?: string
}
/**
 * Takes a rule of a session away.
 */
export interface RemoveRuleRequest {
type: "remove_rule"
/**
 * Which session.
 */
session_id: string
/**
 * Which rule.
 */
name: string
/**
 * Correlates the answer.
 */
request_id?: string
}
/**
 * Compares a session's worktree with what it began at, merges its branch, or drops both.
 */
export interface WorktreeRequest {
type: "worktree"
/**
 * Of which session.
 */
session_id: string
action: WorktreeWish
/**
 * Drops what is not committed or not merged, too; a ref keeps it.
 */
force?: boolean
/**
 * Correlates the answer.
 */
request_id?: string
}
/**
 * Joins sessions and receives their records.
 */
export interface SubscribeRequest {
type: "subscribe"
/**
 * Which.
 */
session_ids: string[]
after?: After
/**
 * The epoch of that record.
 */
epoch?: (number | null)
role?: Role
/**
 * Correlates the answer.
 */
request_id?: string
}
/**
 * Leaves sessions.
 */
export interface UnsubscribeRequest {
type: "unsubscribe"
/**
 * Which.
 */
session_ids: string[]
/**
 * Correlates the answer.
 */
request_id?: string
}
/**
 * Stops the agent and keeps everything.
 */
export interface SuspendSessionRequest {
type: "suspend_session"
/**
 * Which session.
 */
session_id: string
/**
 * Interrupts a running turn instead of refusing.
 */
now?: boolean
/**
 * Correlates the answer.
 */
request_id?: string
}
/**
 * Starts the agent of a session again.
 */
export interface ResumeSessionRequest {
type: "resume_session"
/**
 * Which session.
 */
session_id: string
/**
 * Told to the agent with the next prompt.
 */
additional_context?: (string | null)
/**
 * Environment of the client; values are never stored.
 */
env?: {
[k: string]: string
}
/**
 * Correlates the answer.
 */
request_id?: string
}
/**
 * Takes a deletion back.
 */
export interface UndeleteSessionRequest {
type: "undelete_session"
/**
 * Which session.
 */
session_id: string
/**
 * Correlates the answer.
 */
request_id?: string
}
/**
 * Changes editable metadata. An absent field stays as it is; null clears it.
 */
export interface UpdateSessionRequest {
type: "update_session"
/**
 * Which session.
 */
session_id: string
/**
 * The version this change is based on.
 */
version?: (number | null)
/**
 * The new name.
 */
name?: (string | null)
/**
 * The new description.
 */
description?: (string | null)
/**
 * The new free data, whole.
 */
metadata?: ({
[k: string]: unknown
} | null)
/**
 * The new time to live.
 */
ttl_s?: (number | null)
/**
 * The new orphan policy.
 */
orphan_policy?: (OrphanPolicy | null)
/**
 * Whether it is kept from expiring.
 */
pinned?: (boolean | null)
/**
 * How long its agent's questions wait, in seconds.
 */
approval_deadline_s?: (number | null)
/**
 * What becomes of them when nobody is there who could answer.
 */
detached?: (Detached | null)
/**
 * Correlates the answer.
 */
request_id?: string
}
/**
 * Hands ownership over.
 */
export interface TransferOwnershipRequest {
type: "transfer_ownership"
/**
 * Which session.
 */
session_id: string
new_owner_id: ClientId
/**
 * Correlates the answer.
 */
request_id?: string
}
/**
 * Takes ownership.
 */
export interface TakeOwnershipRequest {
type: "take_ownership"
/**
 * Which session.
 */
session_id: string
/**
 * Correlates the answer.
 */
request_id?: string
}
/**
 * Sets an option that the agent offers.
 */
export interface SetOptionRequest {
type: "set_option"
/**
 * Which session.
 */
session_id: string
/**
 * Which option.
 */
option_id: string
/**
 * To what.
 */
value: {
[k: string]: unknown
}
/**
 * Correlates the answer.
 */
request_id?: string
}
/**
 * Tells who is attached.
 */
export interface WhoRequest {
type: "who"
/**
 * To which session.
 */
session_id: string
/**
 * Correlates the answer.
 */
request_id?: string
}
/**
 * Replays recorded questions against a file of rules that is not in force.
 */
export interface TestRulesRequest {
type: "test_rules"
/**
 * The file's text.
 */
text: string
/**
 * Only of these sessions.
 */
session_ids?: (string[] | null)
/**
 * At most this many of the newest questions.
 */
limit?: (number | null)
/**
 * Correlates the answer.
 */
request_id?: string
}
/**
 * Stops the daemon.
 */
export interface StopDaemonRequest {
type: "stop_daemon"
/**
 * The agents too, instead of leaving them under their runners.
 */
agents?: boolean
/**
 * Correlates the answer.
 */
request_id?: string
}
