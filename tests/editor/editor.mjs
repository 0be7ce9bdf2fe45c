// An editor without a window: the client of the protocol's own TypeScript library, driven by a test.
//
// Usage: editor.mjs COMMAND ARGS… It starts the agent, reads orders from standard input and tells on standard output what
// happens, each as one line of JSON:
//
//   {"do":"request","tag":T,"method":M,"params":P}   {"event":"answer","tag":T,"result":R} or {"event":"refused","tag":T,"code":C,"message":W}
//   {"do":"notify","method":M,"params":P}            nothing
//   {"do":"decide","ask":N,"option":O}               answers {"event":"asked","ask":N,"params":P}; without option: cancelled
//   {"do":"leave"}                                   closes the agent's standard input
//
// Unasked: {"event":"update",…params}, {"event":"withdrawn","ask":N}, {"event":"ended","code":C},
// {"event":"stray","line":L}: the agent wrote something that is no message.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { PassThrough, Readable, Writable } from "node:stream";
import * as acp from "@agentclientprotocol/sdk";

const tell = (event) => process.stdout.write(JSON.stringify(event) + "\n");
const [command, ...args] = process.argv.slice(2);
const agent = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
agent.on("exit", (code) => tell({ event: "ended", code }));
// A dead agent is told by its end.
agent.stdin.on("error", () => {});

// The library forgives what is no message; this reads along and does not.
const seen = new PassThrough();
agent.stdout.on("data", (bytes) => seen.write(bytes));
createInterface({ input: seen }).on("line", (line) => {
  try {
    if (JSON.parse(line).jsonrpc === "2.0") return;
  } catch {}
  tell({ event: "stray", line });
});

const asks = new Map();
const app = acp
  .client({ name: "test-editor" })
  .onNotification(acp.methods.client.session.update, ({ params }) => tell({ event: "update", ...params }))
  .onRequest(acp.methods.client.session.requestPermission, ({ params, signal }) => {
    const ask = asks.size;
    tell({ event: "asked", ask, params });
    return new Promise((decided, failed) => {
      asks.set(ask, decided);
      signal.addEventListener("abort", () => {
        tell({ event: "withdrawn", ask });
        failed(acp.RequestError.requestCancelled());
      });
    });
  });
const stream = acp.ndJsonStream(Writable.toWeb(agent.stdin), Readable.toWeb(agent.stdout));
const connection = app.connect(stream);

const orders = {
  async request({ tag, method, params }) {
    try {
      tell({ event: "answer", tag, result: await connection.agent.request(method, params) });
    } catch (error) {
      tell({ event: "refused", tag, code: error.code ?? null, message: error.message, data: error.data ?? null });
    }
  },
  notify: ({ method, params }) => connection.agent.notify(method, params),
  decide({ ask, option }) {
    asks.get(ask)({ outcome: option ? { outcome: "selected", optionId: option } : { outcome: "cancelled" } });
  },
  leave: () => agent.stdin.end(),
};
createInterface({ input: process.stdin })
  .on("line", (line) => {
    const order = JSON.parse(line);
    orders[order.do](order);
  })
  .on("close", () => agent.stdin.end());
