// The one hub of the page, for the views.

import { Actions } from "./state/actions";
import { Hub } from "./state/hub";
import type { State } from "./state/model";
import { useStore } from "./state/store";

export const hub = new Hub();
export const actions = new Actions(hub);

/** A part of what the page knows. The selector must give the same object for the same state. */
export function useApp<S>(select: (state: State) => S): S {
  return useStore(hub.store, select);
}
