// What the actor plays, by how the prompt begins.

const tool = (toolCallId, title, kind, more = {}) => ({ update: { sessionUpdate: "tool_call", toolCallId, title, kind, status: "in_progress", ...more } });
const done = (toolCallId, content, more = {}) => ({ update: { sessionUpdate: "tool_call_update", toolCallId, status: "completed", ...(content ? { content } : {}), ...more } });
const text = (words) => [{ type: "content", content: { type: "text", text: words } }];
const plan = (...states) => ({ update: { sessionUpdate: "plan", entries: [["Find out why retries stop", states[0]], ["Back off with jitter in the client", states[1]], ["Test it against a flaky server", states[2]], ["Say it in the changelog", states[3]]].map(([content, status]) => ({ content, status, priority: "medium" })) } });
const cost = (used, amount) => ({ update: { sessionUpdate: "usage_update", used, size: 200000, cost: { amount, currency: "USD" } } });

const OLD = `pub fn delay(attempt: u32) -> Duration {
    // Doubles each time.
    Duration::from_millis(100 << attempt)
}

pub fn may_retry(attempt: u32, status: u16) -> bool {
    attempt < 3 && status >= 500
}
`;
const NEW = `/// Half of the wait is chance, so that clients do not come back together.
pub fn delay(attempt: u32, dice: &mut impl Rng) -> Duration {
    let most = LONGEST.min(FIRST * 2u32.saturating_pow(attempt));
    most / 2 + dice.random_range(Duration::ZERO..=most / 2)
}

pub fn may_retry(attempt: u32, status: u16) -> bool {
    attempt < 8 && (status >= 500 || status == 429)
}
`;

export const scenes = {
  "The client gives up": [
    { update: { sessionUpdate: "agent_thought_chunk", content: { type: "text", text: "Three attempts with doubling delays and no jitter: under a rate limit all clients come back at once." } } },
    plan("in_progress", "pending", "pending", "pending"),
    tool("t1", "Read src/retry.rs", "read", { locations: [{ path: "/home/ann/api/src/retry.rs", line: 1 }] }),
    done("t1", text(OLD)),
    tool("t2", "rg -n 'may_retry|delay\\(' src", "execute", { rawInput: { command: "rg -n 'may_retry|delay\\(' src" } }),
    done("t2", text("src/client.rs:88:        if !may_retry(attempt, status) {\nsrc/client.rs:91:        sleep(delay(attempt)).await;\nsrc/retry.rs:1:pub fn delay(attempt: u32) -> Duration {\nsrc/retry.rs:6:pub fn may_retry(attempt: u32, status: u16) -> bool {")),
    plan("completed", "in_progress", "pending", "pending"),
    { words: "The client stops after **three** attempts and never retries a `429`. Two things are wrong:\n\n1. `delay` doubles without a bound and without jitter, so every client comes back at the same moment.\n2. `may_retry` treats a rate limit as final.\n\n| status | before | after |\n|---|---|---|\n| 500–599 | 3 attempts | 8 attempts |\n| 429 | never | as often |\n\nI will change `src/retry.rs`:\n\n" },
    tool("t3", "Edit src/retry.rs", "edit", { locations: [{ path: "/home/ann/api/src/retry.rs" }] }),
    done("t3", [{ type: "diff", path: "/home/ann/api/src/retry.rs", oldText: OLD, newText: NEW }]),
    plan("completed", "completed", "in_progress", "pending"),
    cost(61400, 0.18),
    { ask: {
      toolCall: { toolCallId: "t4", title: "Run the retry tests", kind: "execute", rawInput: { command: "cargo test -p api retry -- --nocapture", timeout_s: 120 } },
      options: [{ optionId: "once", kind: "allow_once", name: "Allow" }, { optionId: "always", kind: "allow_always", name: "Always allow cargo test" }, { optionId: "no", kind: "reject_once", name: "Reject" }],
    } },
    tool("t4", "cargo test -p api retry", "execute", { rawInput: { command: "cargo test -p api retry -- --nocapture" } }),
    done("t4", text("running 4 tests\ntest retry::waits_are_bounded ... ok\ntest retry::a_rate_limit_is_retried ... ok\ntest retry::chance_is_within_half ... ok\ntest client::gives_up_after_eight ... ok\n\ntest result: ok. 4 passed; 0 failed")),
    { words: "All four pass." },
  ],
  "Write the migration": [
    tool("m1", "Read migrations/", "read"), done("m1"),
    { words: "Adding the column first, with a default, then the backfill in batches of a thousand rows so that no lock is held for long. The backfill can be stopped and goes on where it was. ".repeat(40), pace: 120 },
  ],
  "Update the docs": [{ words: "The guide now says how to set the limit, with an example for each of the three cases." }, cost(9000, 0.04)],
  "Look for flaky": [{ words: "Ran the suite forty times: `cache::expires` failed twice, both when two ticks fell into one millisecond." }, cost(30000, 0.31)],
};
