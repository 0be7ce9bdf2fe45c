// What happened beside the conversation, in a sentence. Pure.
//
// Invariant: a fact that nobody needs to read in the transcript gives nothing; all of them are in the events tab.

import type { Actor, Fact } from "../protocol";
import type { NoticeItem, Tone } from "./items";

type Notice = Pick<NoticeItem, "tone" | "text" | "detail">;

function say(tone: Tone, text: string, detail: string | null = null): Notice {
  return { tone, text, detail };
}

export function who(by: unknown): string {
  const actor = by as Actor | undefined;
  return actor?.label ?? (actor?.client_id ? `client ${actor.client_id.slice(0, 8)}` : "somebody");
}

const SUSPENDED: { [reason: string]: string } = {
  user: "Paused", orphan: "Paused: nobody is attached", idle: "Paused: the agent ended by itself",
  budget: "Paused: the budget is spent", focus: "Paused: another session came into focus", restart: "Paused: the agent was lost",
};

export function noticeOf(fact: Fact): Notice | null {
  const text = (field: string) => String(fact[field] ?? "");
  switch (fact.kind) {
    case "state_changed":
      switch (fact["to"]) {
        case "suspended": return say("quiet", SUSPENDED[text("reason")] ?? `Paused: ${text("reason")}`);
        case "finished": return say("good", "Finished");
        case "failed": return say("bad", "Failed", text("reason") || null);
        case "killed": return say("warn", fact["by"] ? `Ended by ${who(fact["by"])}` : "Ended");
        case "expired": return say("quiet", "Expired");
        default: return fact["from"] === "suspended" ? say("quiet", "Resumed") : null;
      }
    case "agent_ready":
      return fact["context_lost"] ? say("warn", "The agent lost its memory of this conversation; the next prompt tells it again") : null;
    case "agent_exited":
      return fact["code"] === 0 ? null
        : say("warn", fact["signal"] ? `The agent was ended by signal ${text("signal")}` : `The agent ended with exit code ${text("code")}`);
    case "agent_stderr": return say("warn", "The agent wrote to its standard error", text("text"));
    case "agent_silent": return say("warn", `The agent has not answered ${text("request")} for ${text("after_s")} s`);
    case "agent_waits": return say("quiet", `The agent waits: ${text("why")}`);
    case "unparsed": return say("warn", `A line of the agent could not be understood: ${text("why")}`, text("text").slice(0, 4096));
    case "agent_request_refused": return say("quiet", `The agent asked for ${text("method")}, which is not served`);
    case "ownership_changed":
      // Coming and going is in the header; a change on purpose is worth a line.
      if (fact["cause"] !== "taken" && fact["cause"] !== "transferred") return null;
      return say("quiet", `${(fact["owner_label"] as string) ?? `client ${text("owner_id").slice(0, 8)}`} owns this session now`);
    case "renamed": return say("quiet", fact["name"] ? `Renamed to ${text("name")}` : "The name was taken away");
    case "option_set": return say("quiet", `${text("option_id")}: ${plain(fact["value"])}`);
    case "option_dropped": return say("warn", `The agent no longer takes ${text("option_id")} ${plain(fact["value"])}`, text("why"));
    case "context_added":
      if (fact["error"]) return say("warn", "The conversation could not be told to the agent again", text("error"));
      return say("quiet", fact["source"] === "person" ? "Context was given to the agent" : "The agent was told the conversation so far", text("text").slice(0, 65536));
    case "budget_spent": return say("warn", `The budget of the ${text("scope").replace("_", "'s ")} is spent: ${text("budget")}`);
    case "worktree": return say("quiet", `The worktree was ${text("action")}`);
    case "rule_added": return say("quiet", `A rule of this session: ${text("rule") && ruleWords(fact["rule"])}`);
    case "rule_removed": return say("quiet", `The rule ${text("name")} was taken away`);
    case "refused": return say("warn", `A process inside the agent asked for ${text("request")} and was refused`);
    case "records_lost": return say("bad", `Records ${text("first")} to ${text("last")} are lost: the store was damaged`);
    case "tail_lost": return say("bad", `Part of the agent's output is lost: ${text("why")}`);
    default: return null;
  }
}

function plain(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function ruleWords(rule: unknown): string {
  const { tool, command, pattern, paths } = rule as { tool?: string; command?: string; pattern?: string[]; paths?: string[] };
  return `allow ${tool ?? ""} ${command ?? pattern?.join(" ") ?? paths?.join(", ") ?? "this input"}`.slice(0, 300);
}
