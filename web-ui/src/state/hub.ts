// Between the socket and the store: joins sessions, folds their records in batches, pages history, keeps cursors.
//
// Invariant: a window holds records without a hole. A hole in what arrives is read from the daemon before anything after
// it is shown, so no word is missing and none is doubled, whatever the connection does.

import { ApiError, HEARTBEAT, Socket } from "../net/socket";
import { isEnded, type Message, type SessionInfo, type WireRecord } from "../protocol";
import { empty, fold, prepend, trim } from "./fold";
import { groupOf, nothing, titleOf, type State, type Toast, type Window } from "./model";
import { proof, seat, wasWelcomed } from "../net/identity";
import { role, token } from "../net/auth";
import { recallTab, remember, rememberTab } from "./kept";
import { Store } from "./store";

/** Sessions that are followed although they are not on screen. */
const MOST_FOLLOWED = 256;
/** How long a closed tab still counts as attached: a reload is shorter. */
const GRACE_MS = 8_000;
const PAGE = 400;
/** Windows that are not on screen are folded this often. */
const BACKGROUND_MS = 250;
/** Work at a stretch, so that the page answers to a hand. */
const SLICE_MS = 8;
const KEPT_ITEMS = 600;
const MOST_ITEMS = 1_200;
/** What may be held of the session on screen while nobody scrolls up in it. */
const MOST_ON_SCREEN = 4_000;

export class Hub {
  readonly store = new Store<State>(nothing);
  readonly socket: Socket;
  /** The session on screen. */
  private current: string | null = null;
  /** Whether the reader is at the end of it. */
  private atEnd = true;
  private inbox: Message[] = [];
  private readonly waiting = new Map<string, WireRecord[]>();
  private readonly mending = new Set<string>();
  private readonly reads = new Map<string, Promise<boolean>>();
  private frame = 0;
  private background = 0;
  private toasts = 0;
  private looked: () => void = () => undefined;
  private readonly heard = new Set<(message: Message, before: SessionInfo | undefined) => void>();

  constructor() {
    this.socket = new Socket({
      token,
      hello: () => ({
        client: { name: "vibes web", version: "1", kind: "web" },
        identity: seat(), grace_ms: GRACE_MS, heartbeat_ms: HEARTBEAT, ...proof(),
      }),
      opened: (welcome) => this.opened(welcome),
      message: (message) => this.receive(message),
      changed: (connection) => this.store.set(connection.at === "open" ? { connection } : { connection, listed: false }),
    });
  }

  /** Hears every notice about sessions, with the session as it was before. */
  onNotice(listener: (message: Message, before: SessionInfo | undefined) => void): void {
    this.heard.add(listener);
  }

  // ------------------------------------------------------------------------------------------------ connection

  private opened(welcome: Message): void {
    wasWelcomed(String(welcome["client_id"]), String(welcome["resume_token"]));
    this.inbox = [];
    this.store.set({ welcome, windows: each(this.store.get().windows, (window) => ({ ...window, joined: "none", loading: false })) });
    void this.list();
    void role().then((role) => this.store.set({ looksOnly: role === "view" }));
    void this.socket.request("list_agents", {}, true).then(({ agents }) => this.store.set({ agents }), ignore);
  }

  /** Reads the list, then joins what lives from where each window stands. */
  private async list(): Promise<void> {
    const found = new Map<string, SessionInfo>();
    const answer = await this.socket.request("list_sessions", {}, true);
    for (const session of answer.sessions) found.set(session.id, session);
    // The newest that ended, so that the list is not empty of yesterday's work.
    const ended = await this.socket.request("list_sessions", { states: ["finished", "failed", "killed", "expired"], limit: 50 }, true);
    for (const session of ended.sessions) found.set(session.id, session);
    const before = this.store.get();
    const gone = new Set(before.gone);
    const lost: string[] = [];
    for (const [id, session] of before.sessions) {
      if (found.has(id)) gone.delete(id);
      else lost.push(id), void session;
    }
    for (const id of lost) {
      // Not in the list may mean one of the older ended ones: the daemon is asked before it counts as gone.
      const session = before.sessions.get(id)!;
      try {
        const { session: now } = await this.socket.request("get_session", { session_id: id }, true);
        if (now.deleted_at === null) found.set(id, now);
        else if (before.windows.has(id)) gone.add(id), found.set(id, now);
      } catch {
        if (!before.windows.has(id)) continue;
        gone.add(id);
        found.set(id, session);
      }
    }
    const since = new Map([...found.values()].map((session) => {
      const was = before.sessions.get(session.id);
      const stays = was && groupOf(was) === groupOf(session);
      return [session.id, (stays && before.since.get(session.id)) || session.last_activity_ms] as const;
    }));
    this.store.set({ sessions: found, gone, since, listed: true, ended: Math.max(0, answer.ended - ended.sessions.length), warnings: answer.warnings ?? [] });
    this.follow();
  }

  /** Joins every living session that is not joined: those that were opened here as writer, the others to watch. */
  private follow(): void {
    const { sessions, windows } = this.store.get();
    const fresh: string[] = [];
    let room = MOST_FOLLOWED;
    for (const session of sessions.values()) {
      const window = windows.get(session.id);
      const opened = this.isOpened(session.id);
      if (!this.lives(session) || (window && window.joined !== "none")) continue;
      // Watching counts as being attached, which would arm a policy that ends or stops the session when we go.
      if (!opened && (session.orphan_policy !== "keep" || (room -= 1) < 0)) continue;
      if (window && window.transcript.last > 0) void this.join(session.id, opened && !this.store.get().looksOnly ? "writer" : "viewer");
      else if (opened) void this.join(session.id, "writer");
      else fresh.push(session.id);
    }
    for (let at = 0; at < fresh.length; at += 64) void this.joinFresh(fresh.slice(at, at + 64));
  }

  private lives(session: SessionInfo): boolean {
    return !isEnded(session.state) && !this.store.get().gone.has(session.id);
  }

  /** Many at once, from their end on: what came before is read when somebody looks. */
  private async joinFresh(ids: string[]): Promise<void> {
    try {
      const { sessions } = await this.socket.request("subscribe", { session_ids: ids, role: "viewer", after: "end" });
      for (const { session, head } of sessions) {
        this.window(session.id, (window) => ({
          ...window, joined: "viewer",
          transcript: window.transcript.last > 0 ? window.transcript : empty(head, this.epoch()),
        }));
      }
    } catch {
      // One of them may have gone between the list and this.
      if (ids.length > 1) for (const id of ids) void this.joinFresh([id]);
    }
  }

  private async join(id: string, role: "viewer" | "writer"): Promise<void> {
    const { transcript } = this.windowOf(id);
    const from = transcript.last > 0 ? { after: transcript.last, epoch: transcript.epoch } : { after: "end" as const };
    this.window(id, (window) => ({ ...window, joined: role }));
    try {
      const { sessions } = await this.socket.request("subscribe", { session_ids: [id], role, ...from });
      const joined = sessions[0];
      if (joined && this.windowOf(id).transcript.last === 0) {
        this.window(id, (window) => ({ ...window, transcript: empty(joined.head, this.epoch()) }));
      }
      if (this.current === id) this.fill(id);
    } catch (error) {
      // A token that only looks may not sit among the writers.
      if (role === "writer" && error instanceof ApiError && (error.code === "READ_ONLY" || error.code === "FORBIDDEN")) {
        this.store.set({ looksOnly: true });
        return this.join(id, "viewer");
      }
      this.window(id, (window) => ({ ...window, joined: "none", trouble: words(error) }));
    }
  }

  /** Does something as somebody who is not attached: who watches may not write, and to answer from the list or the inbox
   *  must not make this tab an owner. One connection's requests about a session are done in their order. */
  fromAside<T>(id: string, act: () => Promise<T>): Promise<T> {
    if (this.windowOf(id).joined !== "viewer" || this.store.get().looksOnly) return act();
    this.socket.request("unsubscribe", { session_ids: [id] }).catch(ignore);
    const done = act();
    void this.join(id, "viewer");
    return done;
  }

  private epoch(): number {
    return Number(this.store.get().welcome?.["epoch"] ?? 1);
  }

  // ------------------------------------------------------------------------------------------------ what arrives

  private receive(message: Message): void {
    this.inbox.push(message);
    // Hidden pages get no frames and slow clocks, but messages all the same.
    if (document.hidden || this.inbox.length > 4_000) return this.work(Infinity);
    if (!this.frame) this.frame = requestAnimationFrame(() => this.work(SLICE_MS));
  }

  private work(budget: number): void {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    const until = performance.now() + budget;
    const messages = this.inbox;
    let at = 0;
    let sessions: Map<string, SessionInfo> | null = null;
    let since: Map<string, number> | null = null;
    const after: (() => void)[] = [];
    for (; at < messages.length; at += 1) {
      if ((at & 63) === 63 && performance.now() > until) break;
      const message = messages[at]!;
      switch (message.type) {
        case "record": {
          const record = message as unknown as WireRecord;
          const list = this.waiting.get(record.session_id);
          if (list) list.push(record);
          else this.waiting.set(record.session_id, [record]);
          break;
        }
        case "session_notification":
        case "session_updated": {
          const session = message["session"] as SessionInfo;
          sessions ??= new Map(this.store.get().sessions);
          const before = sessions.get(session.id);
          sessions.set(session.id, session);
          if (!before || groupOf(before) !== groupOf(session)) (since ??= new Map(this.store.get().since)).set(session.id, session.last_activity_ms);
          after.push(() => this.tell(message, before));
          break;
        }
        case "rewind": {
          const id = message.session_id!;
          const to = message["to"] as { epoch: number; seq: number };
          this.waiting.delete(id);
          this.window(id, (window) => ({ ...window, transcript: empty(to.seq, to.epoch) }));
          if (id === this.current) after.push(() => this.fill(id));
          break;
        }
        case "gap": {
          const id = message.session_id!;
          this.flush(id);
          const lost = Number(message["to"]);
          this.window(id, (window) => ({ ...window, transcript: empty(lost, this.epoch()), trouble: `Records ${String(message["from"])} to ${lost} cannot be read any more: ${String(message["reason"])}` }));
          break;
        }
        case "ownership_transferred": {
          const id = message.session_id!;
          sessions ??= new Map(this.store.get().sessions);
          const before = sessions.get(id);
          if (before) sessions.set(id, { ...before, owner_id: message["new_owner_id"] as string | null, is_owner: message["you_are_owner"] === true });
          after.push(() => this.tell(message, before));
          break;
        }
        case "session_removed": {
          const id = message.session_id!;
          const before = (sessions ?? this.store.get().sessions).get(id);
          if (message["reason"] === "deleted") {
            sessions ??= new Map(this.store.get().sessions);
            if (id === this.current) after.push(() => this.store.set((state) => ({ gone: new Set([...state.gone, id]) })));
            else sessions.delete(id);
          }
          after.push(() => this.tell(message, before));
          break;
        }
        case "closing":
          // Somebody else is this client now: come back as another, instead of taking turns.
          if (message["reason"] === "replaced") rememberTab("client", null);
          after.push(() => this.tell(message, undefined));
          break;
      }
    }
    this.inbox = at < messages.length ? messages.slice(at) : [];
    if (sessions) this.store.set({ sessions, ...(since ? { since } : {}) });
    if (this.current) this.flush(this.current);
    if (this.waiting.size && !this.background) this.background = window.setTimeout(() => this.flushAll(), BACKGROUND_MS);
    if (document.hidden) this.flushAll();
    for (const run of after) run();
    if (this.inbox.length && !this.frame) this.frame = requestAnimationFrame(() => this.work(SLICE_MS));
  }

  private tell(message: Message, before: SessionInfo | undefined): void {
    for (const listener of this.heard) listener(message, before);
    const session = message["session"] as SessionInfo | undefined;
    if (!session) return;
    if (this.lives(session) && this.windowOf(session.id).joined === "none") this.follow();
    if (isEnded(session.state)) this.window(session.id, (window) => (window.joined === "none" ? window : { ...window, joined: "none" }));
  }

  private flushAll(): void {
    clearTimeout(this.background);
    this.background = 0;
    const until = performance.now() + (document.hidden ? Infinity : SLICE_MS);
    for (const id of [...this.waiting.keys()]) {
      this.flush(id);
      if (performance.now() > until) break;
    }
    if (this.waiting.size) this.background = window.setTimeout(() => this.flushAll(), 16);
  }

  /** Folds what has come for a session. */
  private flush(id: string): void {
    const records = this.waiting.get(id);
    if (!records || this.mending.has(id)) return;
    const window = this.windowOf(id);
    let { transcript } = window;
    if (transcript.last === 0 && transcript.items.length === 0) transcript = empty(records[0]!.seq - 1, records[0]!.epoch);
    let folded = fold(transcript, records);
    const most = records[records.length - 1]!.seq;
    if (folded.last < most) return void this.mend(id, folded.last, most);
    this.waiting.delete(id);
    const shown = id === this.current;
    if (folded.items.length > (shown ? (this.atEnd ? MOST_ON_SCREEN : Infinity) : MOST_ITEMS)) {
      folded = trim(folded, shown ? MOST_ON_SCREEN / 2 : KEPT_ITEMS);
    }
    if (folded === window.transcript) return;
    this.window(id, (one) => ({ ...one, transcript: folded }));
    this.store.set((state) => ({ pulses: with_(state.pulses, id, Date.now()) }));
  }

  /** Reads records that are missing between what is folded and what came. */
  private async mend(id: string, after: number, most: number): Promise<void> {
    this.mending.add(id);
    try {
      const { records } = await this.socket.request("read_records", { session_id: id, after, limit: Math.max(1, most - after) }, true);
      const late = this.waiting.get(id) ?? [];
      this.waiting.set(id, [...records, ...late].sort((a, b) => a.seq - b.seq));
      if (records.length === 0) {
        // They are not to be had: go on from what came.
        this.waiting.set(id, late);
        this.window(id, (window) => ({ ...window, transcript: empty(late[0]!.seq - 1, late[0]!.epoch) }));
      }
    } catch (error) {
      this.waiting.delete(id);
      this.window(id, (window) => ({ ...window, trouble: words(error) }));
    } finally {
      this.mending.delete(id);
    }
    this.flush(id);
  }

  // ------------------------------------------------------------------------------------------------ windows

  windowOf(id: string): Window {
    return this.store.get().windows.get(id) ?? { transcript: empty(0, 0), joined: "none", loading: false, trouble: null };
  }

  private window(id: string, change: (window: Window) => Window): void {
    const before = this.windowOf(id);
    const after = change(before);
    if (after !== before) this.store.set((state) => ({ windows: with_(state.windows, id, after) }));
  }

  /** Puts a copy kept by this browser in place, to go on from. */
  restore(sessions: readonly SessionInfo[], windows: ReadonlyMap<string, Window>): void {
    const state = this.store.get();
    if (state.listed) return;
    const known = new Map(sessions.map((session) => [session.id, session] as const));
    const since = new Map(sessions.map((session) => [session.id, session.last_activity_ms] as const));
    this.store.set({ since, sessions: new Map([...known, ...state.sessions]), windows: new Map([...windows, ...state.windows]) });
  }

  private isOpened(id: string): boolean {
    return openedHere().includes(id);
  }

  /** The session on screen: joined as writer, its last page at hand. */
  open(id: string | null): void {
    this.current = id;
    this.atEnd = true;
    if (id === null) return this.looked();
    remember("last", id);
    this.store.set((state) => (state.toasts.some((toast) => toast.session === id) ? { toasts: state.toasts.filter((toast) => toast.session !== id) } : {}));
    if (!openedHere().includes(id)) rememberTab("opened", JSON.stringify([...openedHere(), id].slice(-50)));
    this.flush(id);
    this.looked();
    const session = this.store.get().sessions.get(id);
    if (!session) return;
    if (this.store.get().listed && this.lives(session) && this.windowOf(id).joined !== (this.store.get().looksOnly ? "viewer" : "writer")) void this.join(id, "writer");
    else this.fill(id);
  }

  /** Forgets a session that is gone. */
  drop(id: string): void {
    this.store.set((state) => {
      const sessions = new Map(state.sessions);
      const windows = new Map(state.windows);
      const gone = new Set(state.gone);
      sessions.delete(id);
      windows.delete(id);
      gone.delete(id);
      return { sessions, windows, gone };
    });
  }

  reading(atEnd: boolean): void {
    if (this.atEnd === atEnd) return;
    this.atEnd = atEnd;
    this.looked();
  }

  /** The session whose end is on screen. */
  readingTo(): string | null {
    return this.atEnd ? this.current : null;
  }

  /** Hears when another session, or another part of one, is on screen. */
  onReading(listener: () => void): void {
    this.looked = listener;
  }

  /** The first page of history, when there is none yet. */
  private fill(id: string): void {
    if (this.windowOf(id).transcript.items.length < 30) void this.earlier(id);
  }

  /** Reads records before the window. True when there may be more. */
  earlier(id: string, size = PAGE): Promise<boolean> {
    const under_way = this.reads.get(id);
    if (under_way) return under_way;
    const read = this.readEarlier(id, size).finally(() => this.reads.delete(id));
    this.reads.set(id, read);
    return read;
  }

  private async readEarlier(id: string, size: number): Promise<boolean> {
    const window = this.windowOf(id);
    const session = this.store.get().sessions.get(id);
    if (!session) return false;
    let { transcript } = window;
    if (transcript.last === 0) {
      // Never joined: an ended session, or one of too many. Its end is where its list entry says.
      transcript = empty(session.head, this.epoch());
    }
    if (transcript.first <= 1) return false;
    const after = Math.max(0, transcript.first - 1 - size);
    this.window(id, (one) => ({ ...one, transcript, loading: true, trouble: null }));
    try {
      // An answer may end early, near 1 MiB, so what lies between is asked for until the page is whole.
      const records: WireRecord[] = [];
      const last = transcript.first - 1;
      for (let from = after; from < last; ) {
        const answer = await this.socket.request("read_records", { session_id: id, after: from, limit: last - from }, true);
        const got = answer.records.filter((record) => record.seq <= last);
        if (got.length === 0) break;
        records.push(...got);
        from = got[got.length - 1]!.seq;
      }
      this.window(id, (one) => {
        const next = one.transcript.first === last + 1 ? prepend(one.transcript, records) : one.transcript;
        return { ...one, loading: false, transcript: next };
      });
    } catch (error) {
      this.window(id, (one) => ({ ...one, loading: false, trouble: words(error) }));
      return false;
    }
    return this.windowOf(id).transcript.first > 1;
  }

  /** Reads back until the window has this record. False when it cannot be read now. */
  async reach(id: string, seq: number): Promise<boolean> {
    for (;;) {
      // A window that nobody has filled says nothing about what there is.
      const { first, last } = this.windowOf(id).transcript;
      if (last > 0 && first <= seq) return true;
      await this.earlier(id, last === 0 ? PAGE : Math.min(4_000, Math.max(PAGE, first - seq + 50)));
      // Who is led away from the end does not read there, whatever comes in.
      if (this.current === id) this.atEnd = false;
      const now = this.windowOf(id).transcript;
      if (now.last === 0 || now.first >= (last === 0 ? now.last + 1 : first)) return now.last > 0 && now.first <= seq;
    }
  }

  // ------------------------------------------------------------------------------------------------ toasts

  toast(toast: Omit<Toast, "id">): void {
    this.toasts += 1;
    const id = this.toasts;
    this.store.set((state) => ({ toasts: [...state.toasts, { ...toast, id }].slice(-5) }));
    setTimeout(() => this.dismiss(id), toast.tone === "bad" ? 15_000 : 8_000);
  }

  dismiss(id: number): void {
    this.store.set((state) => ({ toasts: state.toasts.filter((toast) => toast.id !== id) }));
  }

  name(id: string): string {
    const session = this.store.get().sessions.get(id);
    return session ? titleOf(session) : id.slice(0, 8);
  }
}

function each<K, V>(map: ReadonlyMap<K, V>, change: (value: V) => V): Map<K, V> {
  return new Map([...map].map(([key, value]) => [key, change(value)]));
}

function with_<K, V>(map: ReadonlyMap<K, V>, key: K, value: V): Map<K, V> {
  return new Map(map).set(key, value);
}

function ignore(): void {
  // Said again with the next connection, or not needed any more.
}

export function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function openedHere(): string[] {
  try {
    return JSON.parse(recallTab("opened") ?? "[]") as string[];
  } catch {
    return [];
  }
}
