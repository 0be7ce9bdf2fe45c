// For work on the page only, never part of the product: serves dist/ on loopback and joins /v1/ws to the socket of a
// daemon that runs, one JSON per frame on one side and one per line on the other.
//
//   node dev/bridge.mjs [PORT] [SOCKET]      (the socket is asked of `vibes daemon socket` otherwise)
import { execFileSync } from "node:child_process";
import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { connect } from "node:net";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { WebSocketServer } from "ws";

const port = Number(process.argv[2] ?? 7433);
const socket = process.argv[3] ?? execFileSync("vibes", ["daemon", "socket"], { encoding: "utf8" }).trim();
const dist = fileURLToPath(new URL("../dist", import.meta.url));
const types = {
  ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml",
  ".png": "image/png", ".webmanifest": "application/manifest+json",
};
const policy =
  "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; " +
  "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const server = createServer((request, response) => {
  const path = new URL(request.url, "http://x").pathname;
  if (path === "/v1/auth/exchange" && request.method === "POST") {
    response.writeHead(200, { "content-type": "application/json" }).end('{"token":"dev"}');
    return;
  }
  let file = join(dist, normalize(path));
  if (!file.startsWith(dist) || !existsSync(file) || statSync(file).isDirectory()) {
    if (path !== "/") return void response.writeHead(404).end();
    file = join(dist, "index.html");
  }
  response.writeHead(200, {
    "content-type": types[extname(file)] ?? "application/octet-stream",
    "content-security-policy": policy,
    "x-content-type-options": "nosniff",
    "cache-control": path.startsWith("/assets/") ? "public, max-age=31536000, immutable" : "no-cache",
  });
  createReadStream(file).pipe(response);
});

const sockets = new WebSocketServer({ server, path: "/v1/ws", maxPayload: 1 << 20 });
sockets.on("connection", (ws) => {
  let daemon = null;
  let rest = "";
  ws.once("message", (first) => {
    if (JSON.parse(first).type !== "auth") return ws.close(4401);
    daemon = connect(socket);
    daemon.setEncoding("utf8");
    daemon.on("data", (data) => {
      rest += data;
      const lines = rest.split("\n");
      rest = lines.pop();
      for (const line of lines) if (line) ws.send(line);
      if (ws.bufferedAmount > 1 << 20) {
        daemon.pause();
        const wait = setInterval(() => {
          if (ws.bufferedAmount < 1 << 18 || ws.readyState !== 1) {
            clearInterval(wait);
            daemon.resume();
          }
        }, 5);
      }
    });
    daemon.on("close", () => ws.close(1012));
    daemon.on("error", () => ws.close(1013));
    ws.on("message", (line) => daemon.write(line + "\n"));
    ws.on("close", () => daemon.destroy());
  });
});
server.listen(port, "127.0.0.1", () => console.log(`http://127.0.0.1:${port}/#code=dev`));
