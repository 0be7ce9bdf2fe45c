// What a person does, as requests. Failures become toasts: nothing is refused in silence.
//
// Invariant: a prompt has an idempotency key and is said again after a lost connection, so it arrives once.

import { ApiError } from "../net/socket";
import { uuid } from "../net/identity";
import type { AnswerOf, Asks, Block, OrphanPolicy, Permission, RequestType, SessionInfo } from "../protocol";
import { words, type Hub } from "./hub";
import { rememberDirectory } from "./kept";
import type { Outgoing } from "./model";

export interface NewSession {
  agent: string; cwd: string; name?: string; prompt?: string | Block[]; options?: { [id: string]: string }; worktree?: string;
  description?: string; orphan_policy?: OrphanPolicy; budget?: number; template?: string; values?: { [place: string]: string };
}

export class Actions {
  constructor(private readonly hub: Hub) {}

  /** Asks; says what went wrong in a toast and gives null. */
  async try<R extends RequestType>(type: R, fields: Asks<R>, doing: string, again = false): Promise<AnswerOf<R> | null> {
    try {
      return await this.hub.socket.request(type, fields, again);
    } catch (error) {
      const session = (fields as { session_id?: string }).session_id;
      this.hub.toast({ tone: "bad", text: `${doing}: ${words(error)}`, session });
      return null;
    }
  }

  async create(wanted: NewSession): Promise<SessionInfo | null> {
    const key = uuid();
    const answer = await this.try("create_session", { ...wanted, idempotency_key: key }, "The session was not created", true);
    if (!answer) return null;
    rememberDirectory(wanted.cwd);
    this.hub.store.set((state) => ({ sessions: new Map(state.sessions).set(answer.session.id, answer.session) }));
    return answer.session;
  }

  async send(session: string, content: string | Block[], now = false): Promise<boolean> {
    const key = uuid();
    const text = typeof content === "string" ? content : content.map((block) => block.text ?? "").join("");
    const outgoing: Outgoing = { key, session, text, failed: null };
    this.hub.store.set((state) => ({ outgoing: [...state.outgoing, outgoing] }));
    try {
      await this.hub.socket.request("input", { session_id: session, content, idempotency_key: key, now }, true);
      return true;
    } catch (error) {
      this.hub.toast({ tone: "bad", text: `The prompt was not accepted: ${words(error)}`, session });
      return false;
    } finally {
      this.hub.store.set((state) => ({ outgoing: state.outgoing.filter((one) => one.key !== key) }));
    }
  }

  async answer(session: string, permission: Permission, how: { option_id: string; answers?: { [question: string]: string | string[] } }, message?: string): Promise<void> {
    const { permission_id, hash } = permission;
    if (this.hub.store.get().answering.has(permission_id)) return;
    this.hub.store.set((state) => ({ answering: new Set([...state.answering, permission_id]) }));
    try {
      const said = { session_id: session, permission_id, hash, ...how, ...(message ? { message } : {}) };
      await this.hub.fromAside(session, () => this.hub.socket.request("permission_response", said));
    } catch (error) {
      const late = error instanceof ApiError && (error.code === "ALREADY_DECIDED" || error.code === "PERMISSION_NOT_PENDING");
      this.hub.toast({ tone: late ? "info" : "bad", text: late ? words(error) : `Your answer did not count: ${words(error)}`, session });
    } finally {
      this.hub.store.set((state) => {
        const answering = new Set(state.answering);
        answering.delete(permission_id);
        return { answering };
      });
    }
  }

  interrupt = (session: string) => this.try("interrupt", { session_id: session }, "Not interrupted");
  suspend = (session: string) => this.try("suspend_session", { session_id: session, now: true }, "Not paused");
  resume = (session: string, additional_context?: string) =>
    this.try("resume_session", { session_id: session, ...(additional_context ? { additional_context } : {}) }, "Not resumed");
  finish = (session: string) => this.try("finish_session", { session_id: session }, "Not finished");
  kill = (session: string) => this.try("kill_session", { session_id: session }, "Not ended");
  take = (session: string) => this.try("take_ownership", { session_id: session }, "Not taken over");
  transfer = (session: string, to: string) => this.try("transfer_ownership", { session_id: session, new_owner_id: to }, "Not handed over");
  option = (session: string, id: string, value: string) => this.try("set_option", { session_id: session, option_id: id, value: value as never }, `${id} was not changed`);
  removeInput = (session: string, seq: number) => this.try("remove_input", { session_id: session, input_seq: seq }, "The prompt was not removed");
  moveInput = (session: string, seq: number, place: number) => this.try("move_input", { session_id: session, input_seq: seq, place }, "The prompt was not moved");
  editInput = (session: string, seq: number, content: string | Block[]) => this.try("edit_input", { session_id: session, input_seq: seq, content }, "The prompt was not changed");

  async remove(session: string): Promise<void> {
    const done = await this.try("delete_session", { session_id: session }, "Not deleted");
    if (!done) return;
    const name = this.hub.name(session);
    this.hub.toast({
      tone: "info", text: `${name} was deleted`,
      action: { label: "Undo", run: () => void this.try("undelete_session", { session_id: session }, "Not brought back") },
    });
  }

  /** Changes the name; reads again and repeats once when somebody else was faster. */
  async rename(session: SessionInfo, name: string | null): Promise<void> {
    try {
      await this.hub.socket.request("update_session", { session_id: session.id, version: session.version, name });
    } catch (error) {
      if (error instanceof ApiError && error.code === "VERSION_CONFLICT") {
        const now = await this.try("get_session", { session_id: session.id }, "Not renamed", true);
        if (now) await this.try("update_session", { session_id: session.id, version: now.session.version, name }, "Not renamed");
        return;
      }
      this.hub.toast({ tone: "bad", text: `Not renamed: ${words(error)}`, session: session.id });
    }
  }

  async fork(session: string, at?: number): Promise<SessionInfo | null> {
    const answer = await this.try("fork_session", { session_id: session, ...(at ? { at } : {}), idempotency_key: uuid() }, "Not forked", true);
    if (answer) this.hub.store.set((state) => ({ sessions: new Map(state.sessions).set(answer.session.id, answer.session) }));
    return answer?.session ?? null;
  }
}
