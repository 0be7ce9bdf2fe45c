// Several tabs of one browser agree on what a person did there: the theme, a sign-out.
//
// Each tab has a socket of its own. One leader for all would be fewer connections, but each tab is a seat of its own to
// the daemon (it may own a session, and must lose it when it closes), a leader that is frozen in the background would
// stop the others, and a subscription costs the daemon a cursor. What tabs must agree on is not records, which all get,
// but what only this browser keeps.

import type { Hub } from "./hub";
import { theme } from "./theme";

export function share(hub: Hub): void {
  addEventListener("storage", (event) => {
    if (event.key === "vibes.theme") theme.apply();
    // Signed out, or signed in again, in another tab.
    if (event.key === null) location.reload();
    if (event.key === "vibes.token" && hub.socket.connection.at === "refused") hub.socket.retry();
  });
}
