#!/usr/bin/env node
// An agent that speaks as Claude Code does and asks what its prompt says, in JSON: for questions of several parts.
import { createInterface } from "node:readline";

const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
const text = (words) => say({ type: "assistant", session_id: "c1", message: { id: `m${Math.random()}`, role: "assistant", content: [{ type: "text", text: words }] } });

createInterface({ input: process.stdin }).on("line", (line) => {
  const message = JSON.parse(line);
  if (message.type === "control_request") {
    const response = message.request.subtype === "initialize" ? { commands: [], models: [{ value: "default", displayName: "Default" }], current_permission_mode: "default" } : {};
    return say({ type: "control_response", response: { subtype: "success", request_id: message.request_id, response } });
  }
  if (message.type === "user") {
    const { content } = message.message;
    const words = typeof content === "string" ? content : content.map((block) => block.text ?? "").join("");
    say({ type: "system", subtype: "init", session_id: "c1", model: "default", permissionMode: "default" });
    return say({ type: "control_request", request_id: "q1", request: { subtype: "can_use_tool", tool_name: "AskUserQuestion", tool_use_id: "t1", input: JSON.parse(words) } });
  }
  if (message.type === "control_response" && message.response.request_id === "q1") {
    const { behavior, updatedInput } = message.response.response;
    text(`${behavior}: ${JSON.stringify(updatedInput?.answers ?? null)}`);
    say({ type: "result", subtype: "success", is_error: false, session_id: "c1", result: "", stop_reason: "end_turn", total_cost_usd: 0 });
  }
});
