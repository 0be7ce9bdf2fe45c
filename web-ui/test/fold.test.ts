// The fold over recorded sessions: whatever way the records come, the transcript is the same.

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { WireRecord } from "../src/protocol";
import { empty, fold, prepend, trim, type Transcript } from "../src/state/fold";
import type { Item } from "../src/state/items";

function recorded(name: string): WireRecord[] {
  const lines = readFileSync(new URL(`fixtures/${name}.ndjson`, import.meta.url), "utf8").trim().split("\n");
  return lines.map((line) => JSON.parse(line) as WireRecord);
}

function whole(records: WireRecord[]): Transcript {
  return fold(empty(0, 1), records);
}

/** What a person would see of it. */
function seen(items: readonly Item[]): unknown[] {
  return items.map((item) => {
    switch (item.kind) {
      case "message":
      case "thought":
      case "person": return [item.kind, item.text];
      case "tool": return ["tool", item.id, item.title, item.status, item.content];
      case "prompt": return ["prompt", item.blocks];
      case "permission": return ["permission", item.permission.permission_id, item.resolved?.outcome];
      case "turn": return ["turn", item.turn, item.outcome, item.cost, item.usage];
      case "plan": return ["plan", item.entries];
      case "notice": return ["notice", item.text];
    }
  });
}

/** Numbers that look random and are the same each time. */
function dice(seed: number): () => number {
  let state = seed;
  return () => (state = (state * 1103515245 + 12345) % 2147483648) / 2147483648;
}

const names = ["fake", "shell"];

describe("a recorded session", () => {
  it("becomes what was said and done", () => {
    const { items, plan, context } = whole(recorded("fake"));
    const kinds = items.map((item) => item.kind);
    expect(kinds).toContain("prompt");
    expect(kinds).toContain("thought");
    expect(items.filter((item) => item.kind === "tool").map((item) => [item.id, item.status])).toEqual([["t1", "completed"], ["e1", "failed"]]);
    expect(items.find((item) => item.kind === "permission")?.resolved?.outcome).toBe("allowed");
    const text = items.flatMap((item) => (item.kind === "message" ? [item.text] : [])).join("");
    for (let n = 0; n < 40; n += 1) expect(text.split(`#${n} `).length, `chunk ${n}`).toBe(2);
    expect(plan.map((entry) => entry.content)).toEqual(["Read more", "Write more"]);
    expect(items.filter((item) => item.kind === "plan")).toHaveLength(1);
    expect(items.filter((item) => item.kind === "turn").map((item) => item.turn)).toEqual([1, 2, 3]);
    void context;
  });

  it("tells the exit code of a command", () => {
    const turns = whole(recorded("shell")).items.filter((item) => item.kind === "turn");
    expect(turns.map((turn) => turn.exitCode)).toEqual([0, 3]);
  });

  it.each(names)("is the same however it is cut into batches (%s)", (name) => {
    const records = recorded(name);
    const at_once = whole(records);
    for (let seed = 1; seed <= 50; seed += 1) {
      const roll = dice(seed);
      let transcript = empty(0, 1);
      for (let at = 0; at < records.length; ) {
        const size = 1 + Math.floor(roll() * 9);
        transcript = fold(transcript, records.slice(at, at + size));
        at += size;
      }
      expect(seen(transcript.items)).toEqual(seen(at_once.items));
    }
  });

  it.each(names)("is the same when its beginning is read later (%s)", (name) => {
    const records = recorded(name);
    const expected = seen(whole(records).items);
    for (let cut = 1; cut < records.length; cut += 1) {
      let transcript = fold(empty(cut, 1), records.slice(cut));
      for (let to = cut; to > 0; ) {
        const from = Math.max(0, to - 7);
        transcript = prepend(transcript, records.slice(from, to));
        expect(transcript.first).toBe(from + 1);
        to = from;
      }
      expect(seen(transcript.items), `cut after ${cut}`).toEqual(expected);
    }
  });

  it.each(names)("is the same after it was trimmed and read again (%s)", (name) => {
    const records = recorded(name);
    const expected = seen(whole(records).items);
    for (let middle = 5; middle < records.length; middle += 3) {
      for (const keep of [1, 3, 6]) {
        let transcript = trim(fold(empty(0, 1), records.slice(0, middle)), keep);
        transcript = fold(transcript, records.slice(middle));
        transcript = prepend(transcript, records.slice(0, transcript.first - 1));
        expect(seen(transcript.items), `${middle}, ${keep}`).toEqual(expected);
      }
    }
  });

  it("takes each record once and none out of order", () => {
    const records = recorded("fake");
    const some = fold(empty(0, 1), records.slice(0, 20));
    expect(fold(some, records.slice(5, 20))).toBe(some);
    expect(fold(some, records.slice(21))).toBe(some);
    expect(seen(fold(some, records.slice(10)).items)).toEqual(seen(whole(records).items));
  });
});

function said(seq: number, text: string): WireRecord {
  return { session_id: "s", epoch: 1, seq, at_ms: seq, fact: { kind: "update", update: { sessionUpdate: "agent_message_chunk", content: { type: "text", text } } } };
}

describe("a speech without end", () => {
  it("is cut into items of bearable length, and no character is lost", () => {
    const text = `${"words and 🙂 more\n".repeat(20_000)}`;
    const { items } = fold(empty(0, 1), [said(1, "begin "), said(2, text), said(3, "end")]);
    expect(items.length).toBeGreaterThan(8);
    for (const item of items) expect(item.kind === "message" && item.text.length <= 33_000).toBe(true);
    expect(items.map((item) => (item.kind === "message" ? item.text : "")).join("")).toBe(`begin ${text}end`);
  });

  it("opens a fence again that it was cut in", () => {
    const { items } = fold(empty(0, 1), [said(1, `\`\`\`rust\n${"let x = 1;\n".repeat(6_000)}\`\`\`\nafter`)]);
    expect(items.length).toBeGreaterThan(1);
    for (const item of items.slice(1)) expect(item.kind === "message" && item.text.startsWith("```rust\n")).toBe(true);
  });

  it("is not cut apart when the front is forgotten", () => {
    let transcript = fold(empty(0, 1), [said(1, "x".repeat(100_000))]);
    transcript = trim(transcript, 1);
    expect(transcript.first).toBe(1);
  });
});

describe("the contract's examples", () => {
  it("fold without harm, unknown kinds too", () => {
    const golden = readFileSync(new URL("../../protocol/schema/v1/golden.ndjson", import.meta.url), "utf8").trim().split("\n");
    const facts = golden.map((line) => JSON.parse(line) as { dir: string; line: WireRecord["fact"] }).filter(({ dir }) => dir === "fact");
    expect(facts.length).toBeGreaterThan(30);
    const records = facts.map(({ line }, at) => ({ session_id: "s", epoch: 1, seq: at + 1, at_ms: at, fact: line }));
    expect(whole(records).last).toBe(records.length);
  });
});
