// What counts as read: only what was on screen to its end, whole, and new.
import { describe, expect, it } from "vitest";
import type { SessionInfo } from "../src/protocol";
import { empty } from "../src/state/fold";
import { markable, newIn, nothing, type State } from "../src/state/model";

const session = (more: object) => ({ id: "s", head: 10, unread: 2, deleted_at: null, ...more }) as unknown as SessionInfo;
function state(info: SessionInfo, last: number, more: Partial<State> = {}): State {
  const window = { transcript: empty(last, 1), joined: "writer" as const, loading: false, trouble: null };
  return { ...nothing, connection: { at: "open" }, reading: "s", sessions: new Map([["s", info]]), windows: new Map([["s", window]]), ...more };
}

describe("reading", () => {
  it("marks what is new up to the last record that was drawn", () => {
    expect(markable(state(session({}), 12))).toEqual(["s", 12]);
  });
  it("marks nothing that is not new, not here yet, or not looked at", () => {
    expect(markable(state(session({ unread: 0 }), 12))).toBeNull();
    expect(markable(state(session({}), 9))).toBeNull();
    expect(markable(state(session({}), 12, { reading: null }))).toBeNull();
    expect(markable(state(session({}), 12, { connection: { at: "connecting" } }))).toBeNull();
    expect(markable(state(session({}), 12, { gone: new Set(["s"]) }))).toBeNull();
  });
  it("adds up what is new, without what was deleted", () => {
    expect(newIn([session({}), session({ unread: 3 }), session({ unread: 5, deleted_at: 1 })])).toBe(5);
  });
});
