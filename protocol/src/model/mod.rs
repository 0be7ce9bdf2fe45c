//! The nouns that the journal stores and the wire carries.
//!
//! Invariant: serialisable, comparable, free of behaviour beyond their own shape.

pub mod access;
pub mod archive;
pub mod content;
pub mod digest;
pub mod error;
pub mod fact;
pub mod ids;
pub mod memory;
pub mod permission;
pub mod room;
pub mod rule;
pub mod session;
pub mod template;
pub mod trigger;
pub mod turn;

pub use access::{Access, AuditEntry, TokenInfo};
pub use archive::{ARCHIVE, ArchiveHead, ImportOutcome, Imported, RawRecords};
pub use digest::{Decided, Question, RanCommand, SessionDigest};
pub use error::{CodedError, ErrorCode};
pub use fact::{BudgetScope, Fact, TurnOutcome, Usage};
pub use ids::{ClientId, Epoch, Seq, SessionId};
pub use memory::{Memory, MemoryAction};
pub use permission::{Decision, Outcome, Permission, PermissionOption};
pub use room::{DiskUsage, LeavesFor, Leaving, SessionUsage, Stays};
pub use rule::{Detached, How, SessionRule, Surface, Verdict};
pub use session::{
    Cost, Link, Member, OrphanPolicy, QueuedPrompt, RemovedReason, Role, SessionInfo, SessionState,
    SuspendReason, Worktree,
};
pub use template::{Template, TemplateInfo};
pub use trigger::{Condition, Trigger, TriggerState};
pub use turn::{CostSum, CostsBy, ModelUse, TurnInfo};
