// Who this tab is to the daemon.
//
// Invariant: no two tabs are the same client. A tab that is copied has the storage of the first one, so whoever holds
// the lock named after the client is it, and the other one begins anew.

import { recallTab, rememberTab } from "../state/kept";

let held: (() => void) | null = null;

/** Takes up what this tab was before a reload, unless another tab is that. */
export async function claim(): Promise<void> {
  const { client_id } = proof();
  if (client_id && !(await lock(client_id))) {
    for (const name of ["client", "tab", "opened"]) rememberTab(name, null);
  }
}

export function wasWelcomed(client_id: string, resume_token: string): void {
  if (proof().client_id !== client_id) {
    held?.();
    void lock(client_id);
  }
  rememberTab("client", JSON.stringify({ client_id, resume_token }));
}

export function proof(): { client_id?: string; resume_token?: string } {
  try {
    return JSON.parse(recallTab("client") ?? "{}") as object;
  } catch {
    return {};
  }
}

function lock(client: string): Promise<boolean> {
  if (!("locks" in navigator)) return Promise.resolve(true);
  return new Promise((resolve) => {
    navigator.locks
      .request(`vibes.client.${client}`, { ifAvailable: true }, (lock) => {
        resolve(lock !== null);
        return lock && new Promise<void>((free) => (held = free));
      })
      .catch(() => resolve(true));
  });
}

/** A name for people: which browser, and which of its tabs. */
export function seat(): string {
  let tab = recallTab("tab");
  if (!tab) {
    tab = uuid().slice(0, 4);
    rememberTab("tab", tab);
  }
  const has = (...names: [RegExp, string][]) => names.find(([sign]) => sign.test(navigator.userAgent))?.[1];
  const browser = has([/Firefox/, "Firefox"], [/Edg\//, "Edge"], [/Chrome/, "Chrome"], [/Safari/, "Safari"]) ?? "Browser";
  const system = has([/Android/, "Android"], [/iPhone|iPad/, "iOS"], [/Mac/, "macOS"], [/Windows/, "Windows"]) ?? "Linux";
  return `${browser} on ${system}:${tab}`;
}

/** A random UUID, also where the page is not in a secure context. */
export function uuid(): string {
  if (typeof crypto.randomUUID === "function") return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
