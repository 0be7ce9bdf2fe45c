// Several tabs of one browser agree on what a person did: what was read, the theme, a sign-out.
//
// Each tab has a socket of its own. One leader for all would be fewer connections, but each tab is a seat of its own to
// the daemon (it may own a session, and must lose it when it closes), a leader that is frozen in the background would
// stop the others, and a subscription costs the daemon a cursor. What tabs must agree on is not records, which all get,
// but what only this browser knows.

import type { Hub } from "./hub";
import { theme } from "./theme";

type Said = { seen: [string, number] } | { theme: true };

export function share(hub: Hub): void {
  if (typeof BroadcastChannel === "undefined") return;
  const channel = new BroadcastChannel("vibes");
  let before = hub.store.get().seen;
  hub.store.subscribe(() => {
    const { seen } = hub.store.get();
    if (seen === before) return;
    for (const [id, head] of seen) if (before.get(id) !== head) channel.postMessage({ seen: [id, head] } satisfies Said);
    before = seen;
  });
  channel.onmessage = (event: MessageEvent<Said>) => {
    if ("theme" in event.data) return theme.apply();
    const [id, head] = event.data.seen;
    hub.seen(id, head);
    before = hub.store.get().seen;
  };
  addEventListener("storage", (event) => {
    if (event.key === "vibes.theme") theme.apply();
    // Signed out, or signed in again, in another tab.
    if (event.key === null) location.reload();
    if (event.key === "vibes.token" && hub.socket.connection.at === "refused") hub.socket.retry();
  });
}
