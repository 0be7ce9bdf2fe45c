// Words about memories in the composer: the daemon answers them, the agent never sees them.
//
// Invariant: the daemon decides what is such a word; what is asked of it here is only what may be one, so that a prompt
// is not held up by a question.

import { hub } from "../app";
import { ApiError } from "../net/socket";
import { words } from "../state/hub";

export interface Told { message: string; memories: { id: number; text: string }[] }

export function maybeMemory(text: string): boolean {
  return /^(?:remember\b|do you remember\b|what do you remember\b|search memories\b|forget\b|(?:list|show) memories\b)/i.test(text);
}

/** Null when the line is the agent's. */
export async function askMemory(text: string, session: string): Promise<Told | null> {
  try {
    const answer = (await hub.socket.request("memory_command" as "who", { text, session_id: session } as never)) as unknown as { action: string; message?: string; memories?: Told["memories"] };
    if (answer.action === "not_a_command") return null;
    return { message: answer.message ?? answer.action, memories: answer.memories ?? [] };
  } catch (error) {
    // A daemon that knows no memories: the line is a prompt like any other.
    if (error instanceof ApiError && error.code === "UNKNOWN_TYPE") return null;
    return { message: `Not done: ${words(error)}`, memories: [] };
  }
}
