// What the person at this page has read: told to the daemon, which tells all their devices.
//
// Invariant: something counts as read only when it could be: its session is on screen to its end, in a page that is visible
// and has the focus, and everything there is has been drawn. The daemon is told when that held for a moment, and only
// when something was new.

import type { Hub } from "./hub";
import { markable, type State } from "./model";

/** A glance in passing is no reading. */
const MOMENT_MS = 500;

export function reading(hub: Hub): void {
  let timer = 0;
  let asked = "";
  const look = () => {
    const front = document.visibilityState === "visible" && document.hasFocus();
    const state = hub.store.get();
    const id = front ? hub.readingTo() : null;
    if (state.reading !== id) hub.store.set({ reading: id });
    if (markable(hub.store.get()) === null) {
      clearTimeout(timer);
      timer = 0;
    } else timer ||= window.setTimeout(mark, MOMENT_MS);
  };
  const mark = () => {
    timer = 0;
    const wanted = markable(hub.store.get());
    if (!wanted) return;
    const [session_id, seq] = wanted;
    // One that was refused, or crossed with news, is not said again before there is more to read.
    if (asked === `${session_id} ${seq}`) return;
    asked = `${session_id} ${seq}`;
    hub.socket.request("mark_read", { session_id, seq }).catch(() => undefined);
  };
  const { store } = hub;
  let before: Partial<State> = {};
  store.subscribe(() => {
    const { sessions, windows, connection } = store.get();
    if (before.sessions === sessions && before.windows === windows && before.connection === connection) return;
    before = { sessions, windows, connection };
    look();
  });
  hub.onReading(look);
  for (const event of ["focus", "blur"]) addEventListener(event, look);
  document.addEventListener("visibilitychange", look);
}
