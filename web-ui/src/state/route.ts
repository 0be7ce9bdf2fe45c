// What is on screen, as the part of the address behind `#`, which no server sees: `#/s/ID`, `#/s/ID@SEQ`, `#/inbox`,
// `#/settings`, `#/costs`.

import { useSyncExternalStore } from "react";

export type Route =
  | { at: "home" | "inbox" | "settings" | "costs" }
  | { at: "session"; id: string; seq: number | null };

function read(): Route {
  const session = /^#\/s\/([0-9a-f-]{8,36})(?:@(\d{1,15}))?$/.exec(location.hash);
  if (session) return { at: "session", id: session[1]!, seq: session[2] ? Number(session[2]) : null };
  const page = /^#\/(inbox|settings|costs)$/.exec(location.hash)?.[1];
  return { at: (page as "inbox" | undefined) ?? "home" };
}

let now = read();
const listeners = new Set<() => void>();

addEventListener("hashchange", () => {
  now = read();
  for (const listener of listeners) listener();
});

export function route(): Route {
  return now;
}

export function onRoute(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function useRoute(): Route {
  return useSyncExternalStore(onRoute, route);
}

/** Goes there. Another session takes the place of the present one in the history, so that "back" leads to the list. */
export function go(hash: string, replace = false): void {
  if (location.hash === hash) return;
  if (replace) {
    history.replaceState(null, "", hash || location.pathname);
    dispatchEvent(new HashChangeEvent("hashchange"));
  } else location.hash = hash;
}

export function showSession(id: string): void {
  go(`#/s/${id}`, now.at === "session");
}
