// One connection to the daemon: opens it, says who we are, matches answers, opens it again.
//
// Invariant: a request settles exactly once. One that only reads, or carries an idempotency key, waits through a lost
// connection and is said again; every other one fails with `DISCONNECTED`, because nobody knows whether it was done.

import type { AnswerOf, Asks, Message, RequestType } from "../protocol";

export class ApiError extends Error {
  constructor(readonly code: string, message: string) {
    super(message);
  }
}

export type Connection =
  | { at: "connecting" | "open" }
  /** Tries again at `retryAt`. */
  | { at: "waiting"; attempt: number; retryAt: number; why: string }
  /** Only another token helps. */
  | { at: "refused"; why: string };

interface Pending {
  line: { type: string; request_id: string; [field: string]: unknown };
  again: boolean;
  sent: boolean;
  resolve(message: Message): void;
  reject(error: Error): void;
}

export interface Handlers {
  token(): string | null;
  hello(): { [field: string]: unknown };
  /** Called with the welcome, before anything else is sent. */
  opened(welcome: Message): void;
  /** A message that answers no request, still in JSON when it is long. */
  message(message: Message): void;
  changed(connection: Connection): void;
}

/** The daemon is asked to give a sign of life this often. */
export const HEARTBEAT = 30_000;
const SILENCE = 3 * HEARTBEAT;
const FIRST_WAIT = 250;
const LONGEST_WAIT = 30_000;
/** The daemon stops reading at 64 requests without an answer; ours wait here instead. */
const MOST_UNDERWAY = 48;

export class Socket {
  private ws: WebSocket | null = null;
  private ready = false;
  private attempt = 0;
  private timer = 0;
  private next = 0;
  private readonly pending = new Map<string, Pending>();
  private underway = 0;
  private state: Connection = { at: "connecting" };
  private heard = 0;

  constructor(private readonly handlers: Handlers) {
    addEventListener("online", () => this.wake());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.wake();
    });
    setInterval(() => {
      if (this.state.at === "open" && Date.now() - this.heard > SILENCE) this.lose("The daemon has said nothing for a while.");
    }, HEARTBEAT / 2);
  }

  get connection(): Connection {
    return this.state;
  }

  /** After a sleep, or when the network is back: a connection that should have been heard of is not trusted. */
  private wake(): void {
    if (this.state.at === "open" && Date.now() - this.heard > HEARTBEAT * 1.5) this.lose("The connection slept.");
    if (this.state.at === "waiting") this.open();
  }

  /** Gives a connection up without waiting for the network to say so. */
  private lose(why: string): void {
    const ws = this.ws;
    this.ws = null;
    ws?.close();
    this.closed(0, why);
  }

  /** Opens the connection now, if it waits. */
  retry(): void {
    if (this.state.at === "waiting" || this.state.at === "refused") this.open();
  }

  open(): void {
    clearTimeout(this.timer);
    this.ws?.close();
    const token = this.handlers.token();
    if (!token) return this.to({ at: "refused", why: "This page needs a code: run `vibes web` and open the address it prints." });
    this.to({ at: "connecting" });
    const ws = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v1/ws`);
    this.ws = ws;
    ws.onopen = () => {
      ws.send(JSON.stringify({ type: "auth", token }));
      ws.send(JSON.stringify({ type: "hello", request_id: "hello", protocol: 1, ...this.handlers.hello() }));
    };
    ws.onmessage = (event) => this.receive(ws, event.data as string);
    ws.onclose = (event) => {
      if (this.ws === ws) this.closed(event.code, event.reason);
    };
  }

  /** Asks and waits for the answer. `again`: it does no harm to say it twice. */
  request<R extends RequestType>(type: R, fields: Asks<R>, again = false): Promise<AnswerOf<R>> {
    this.next += 1;
    const request_id = `w${this.next}`;
    return new Promise((resolve, reject) => {
      if (!this.ready && !again) return reject(new ApiError("DISCONNECTED", "There is no connection to the daemon."));
      const pending: Pending = {
        line: { type, request_id, ...fields }, again, sent: false,
        resolve: resolve as (message: Message) => void, reject,
      };
      this.pending.set(request_id, pending);
      this.flush();
    });
  }

  private flush(): void {
    if (!this.ready) return;
    for (const pending of this.pending.values()) {
      if (this.underway >= MOST_UNDERWAY) return;
      if (pending.sent) continue;
      pending.sent = true;
      this.underway += 1;
      this.ws?.send(JSON.stringify(pending.line));
    }
  }

  private receive(ws: WebSocket, data: string): void {
    if (this.ws !== ws) return;
    this.heard = Date.now();
    let message: Message;
    try {
      message = JSON.parse(data) as Message;
    } catch {
      return;
    }
    if (message.type === "ping") return ws.send('{"type":"pong"}');
    if (message.request_id === "hello") return this.welcomed(message);
    const pending = message.request_id === undefined ? undefined : this.pending.get(message.request_id);
    if (!pending) {
      if (message.type === "error" && !this.ready) this.refuse(message);
      else this.handlers.message(message);
      return;
    }
    this.pending.delete(message.request_id!);
    this.underway -= 1;
    if (message.type === "error") pending.reject(new ApiError(String(message["code"]), String(message["message"])));
    else pending.resolve(message);
    this.flush();
  }

  private welcomed(message: Message): void {
    if (message.type === "error") return this.refuse(message);
    this.ready = true;
    this.attempt = 0;
    this.underway = 0;
    this.to({ at: "open" });
    this.handlers.opened(message);
    this.flush();
  }

  private refuse(message: Message): void {
    const code = String(message["code"]);
    if (code === "LIMIT_EXCEEDED" || code === "SHUTTING_DOWN" || code === "BUSY") return;
    this.ready = false;
    const ws = this.ws;
    this.ws = null;
    ws?.close();
    this.drop();
    this.to({ at: "refused", why: String(message["message"] ?? code) });
  }

  private closed(code: number, reason: string): void {
    this.ws = null;
    const was = this.ready;
    this.ready = false;
    this.drop();
    // 4401, or a policy violation before the welcome: the token is not good, and asking again will not make it so.
    if (code === 4401 || code === 4403 || (code === 1008 && !was)) {
      return this.to({ at: "refused", why: reason || "The daemon does not take this page's token any more." });
    }
    this.attempt += 1;
    const most = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** Math.min(this.attempt - 1, 10));
    // Half of it is chance, so that many windows do not come back at the same moment.
    const wait = most / 2 + Math.random() * (most / 2);
    this.to({ at: "waiting", attempt: this.attempt, retryAt: Date.now() + wait, why: reason || "The daemon does not answer." });
    this.timer = window.setTimeout(() => this.open(), wait);
  }

  private drop(): void {
    this.underway = 0;
    for (const [id, pending] of this.pending) {
      pending.sent &&= false;
      if (pending.again) continue;
      this.pending.delete(id);
      pending.reject(new ApiError("DISCONNECTED", "The connection was lost before the daemon answered; look at the session before you repeat it."));
    }
  }

  private to(state: Connection): void {
    this.state = state;
    this.handlers.changed(state);
  }
}
