// A daemon of its own for each test, with its page, in a directory that goes with it.
//
// Invariant: hermetic: own home, own state, a port of its own, no process left behind. A test waits for facts on the
// page, never for time.
import { execFile, spawn } from "node:child_process";
import { existsSync, mkdtempSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { chromium } from "playwright-core";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../..", import.meta.url));
const bin = process.env.VIBES_BIN ?? join(process.env.CARGO_TARGET_DIR ?? join(root, "target"), "debug");
const browserPath = process.env.VIBES_CHROMIUM ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
/** How long a fact may take on a busy machine before its absence is a failure. */
export const PATIENCE = Number(process.env.VIBES_E2E_PATIENCE ?? 45_000);

let browser;

export async function theBrowser() {
  browser ??= await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
  return browser;
}

export async function closeBrowser() {
  await browser?.close();
  browser = undefined;
}

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export class House {
  static async open() {
    const house = new House();
    house.dir = mkdtempSync(join(tmpdir(), "vw-"));
    house.home = process.env.VIBES_E2E_HOME ?? join(house.dir, "home");
    house.work = join(house.home, "work");
    mkdirSync(join(house.home, ".config/vibes"), { recursive: true });
    mkdirSync(house.work, { recursive: true });
    writeFileSync(join(house.home, ".config/vibes/config.toml"), `[agents.fake]\ncommand = ["${join(bin, "fake-agent")}"]\n[agents.actor]\nname = "Actor"\ncommand = ["node", "${join(root, "web-ui/e2e/actor.mjs")}"]\n[agents.asker]\nname = "Asker"\ndialect = "claude"\ncommand = ["${join(root, "web-ui/e2e/asker.mjs")}"]\n`);
    house.port = await freePort();
    house.contexts = [];
    house.errors = [];
    await house.start();
    return house;
  }

  get env() {
    return {
      PATH: `${bin}:${process.env.PATH}`, HOME: this.home, VIBES_STATE_DIR: join(this.dir, "state"), LANG: "C.UTF-8", SHELL: "/bin/sh",
      USER: "ann",
    };
  }

  /** Runs `vibes` and gives back what it prints. */
  async vibes(...args) {
    const { stdout } = await run(join(bin, "vibes"), args, { env: this.env, cwd: this.work, maxBuffer: 1 << 28 });
    return stdout.trim();
  }

  /** A session without a terminal; gives its id. */
  async session(name, agent, prompt, ...more) {
    if (prompt.length < 50_000) return this.vibes("run", "-d", agent, "--name", name, ...more, prompt);
    // Longer than an argument may be.
    const running = run(join(bin, "vibes"), ["run", "-d", agent, "--name", name, ...more, "-"], { env: this.env, cwd: this.work });
    running.child.stdin.end(prompt);
    return (await running).stdout.trim();
  }

  async start() {
    await this.vibes("daemon", "start");
    await this.web();
  }

  /** Serves the page and keeps its address with a fresh code. */
  async web() {
    // A build without the web is looked at over the bridge that developers use.
    this.bridged ??= process.env.VIBES_E2E_BRIDGE !== undefined || !/^ *web\b/m.test(await this.vibes("--help"));
    if (this.bridged) return this.bridge();
    const said = await this.vibes("web", "--port", String(this.port));
    this.link = /http:\/\/\S+#code=\S+/.exec(said)?.[0] ?? said.split("\n")[0];
    return this.link;
  }

  /** Instead of the daemon's own server: for work on the page before there is one. */
  async bridge() {
    this.link = `http://127.0.0.1:${this.port}/#code=dev`;
    if (this.child) return this.link;
    const path = join(root, "web-ui/dev/bridge.mjs");
    this.child = spawn("node", [path, String(this.port), join(this.dir, "state/vibesd.sock")], { stdio: ["ignore", "pipe", "inherit"] });
    await new Promise((resolve) => this.child.stdout.once("data", resolve));
    return this.link;
  }

  async pid() {
    return JSON.parse(await this.vibes("daemon", "status", "--json")).pid;
  }

  /** Kills the daemon as nothing else does. */
  async kill() {
    const pid = await this.pid();
    process.kill(pid, "SIGKILL");
    while (existsSync(`/proc/${pid}/stat`) && !/\) Z/.test(await readStat(pid))) await new Promise((go) => setTimeout(go, 10));
  }

  /** A page of a person: its own storage, signed in by a fresh code. */
  async page(options = {}, where = "") {
    const browser = await theBrowser();
    const context = await browser.newContext({ viewport: { width: 1360, height: 860 }, ...options });
    this.contexts.push(context);
    await context.grantPermissions(["clipboard-read", "clipboard-write"]).catch(() => undefined);
    const page = await context.newPage();
    this.watch(page);
    await page.goto(where || (await this.web()));
    return page;
  }

  watch(page) {
    page.setDefaultTimeout(PATIENCE);
    page.on("pageerror", (error) => this.errors.push(error.stack ?? error.message));
    page.on("console", (message) => {
      const text = message.text();
      if (message.type() === "error" && !/WebSocket|ERR_CONNECTION|Failed to load resource/.test(text)) this.errors.push(text);
    });
  }

  async close() {
    for (const context of this.contexts) await context.close().catch(() => undefined);
    const ids = (await this.vibes("ls", "--json").then(JSON.parse, () => [])) ?? [];
    const list = Array.isArray(ids) ? ids : (ids.sessions ?? []);
    if (list.length) await this.vibes("kill", ...list.map((session) => session.id)).catch(() => undefined);
    await this.vibes("daemon", "stop", "--agents").catch(() => undefined);
    this.child?.kill();
    rmSync(this.dir, { recursive: true, force: true });
    if (this.errors.length) throw new Error(`the page complained:\n${this.errors.join("\n")}`);
  }
}

async function readStat(pid) {
  const { readFile } = await import("node:fs/promises");
  return readFile(`/proc/${pid}/stat`, "utf8").catch(() => ") Z");
}

/** Opens a session from the list. */
export async function open(page, id) {
  await page.locator(`a.session[href="#/s/${id}"]`).click();
  await page.locator(".head").waitFor();
}

/** Waits until a condition of the page holds. */
export function until(page, condition, argument) {
  return page.waitForFunction(condition, argument, { timeout: PATIENCE, polling: 50 });
}
