// An agent of the Agent Client Protocol that plays scenes: for tests and pictures of what the fake agent does not say.
//
// A prompt that begins like a scene in scenes.mjs plays it; any other is said back. A step is an update, a question, or
// a pause.
import { createInterface } from "node:readline";
import { scenes } from "./scenes.mjs";

const answers = new Map();
let next = 1000;
let cancelled = false;
const say = (message) => process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
const modes = { currentModeId: "ask", availableModes: [{ id: "ask", name: "Ask first" }, { id: "plan", name: "Plan only" }, { id: "auto", name: "Accept edits" }] };

async function play(sessionId, text) {
  const scene = Object.entries(scenes).find(([begin]) => text.startsWith(begin))?.[1] ?? [{ update: { sessionUpdate: "agent_message_chunk", content: { type: "text", text: `You said: ${text}` } } }];
  for (const step of scene) {
    if (cancelled) return "cancelled";
    if (step.update) say({ method: "session/update", params: { sessionId, update: step.update } });
    if (step.words) for (const word of step.words.match(/\S+\s*|\s+/g) ?? []) {
      say({ method: "session/update", params: { sessionId, update: { sessionUpdate: "agent_message_chunk", content: { type: "text", text: word } } } });
      if (step.pace) await new Promise((go) => setTimeout(go, step.pace));
    }
    if (step.pause) await new Promise((go) => setTimeout(go, step.pause));
    if (step.ask) {
      const id = (next += 1);
      const answer = new Promise((resolve) => answers.set(id, resolve));
      say({ id, method: "session/request_permission", params: { sessionId, ...step.ask } });
      const { outcome } = await answer;
      if (outcome?.outcome !== "selected") return "cancelled";
    }
  }
  return "end_turn";
}

createInterface({ input: process.stdin }).on("line", (line) => {
  const { id, method, params, result } = JSON.parse(line);
  switch (method) {
    case "initialize": return say({ id, result: { protocolVersion: 1, agentCapabilities: { promptCapabilities: { image: true, embeddedContext: true } }, authMethods: [] } });
    case "session/new":
      say({ id, result: { sessionId: "scene", modes } });
      return say({ method: "session/update", params: { sessionId: "scene", update: { sessionUpdate: "available_commands_update", availableCommands: [{ name: "review", description: "Review the changes of this branch" }, { name: "compact", description: "Sum up what was said so far" }] } } });
    case "session/set_mode": return say({ id, result: {} });
    case "session/cancel": return void (cancelled = true);
    case "session/prompt":
      cancelled = false;
      return void play(params.sessionId, params.prompt.map((block) => block.text ?? "").join("")).then((stopReason) => say({ id, result: { stopReason, usage: { inputTokens: 8421, outputTokens: 1312, cachedReadTokens: 20480, cachedWriteTokens: 0, totalTokens: 30213 } } }));
    default:
      if (method === undefined) answers.get(id)?.(result ?? {});
      else if (id !== undefined) say({ id, error: { code: -32601, message: "not served" } });
  }
});
