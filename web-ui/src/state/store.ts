// A value and its listeners, for useSyncExternalStore.
//
// Invariant: the value is replaced, never changed, so a selector may compare by identity.

import { useSyncExternalStore } from "react";

export class Store<T> {
  private readonly listeners = new Set<() => void>();

  constructor(private value: T) {}

  get = (): T => this.value;

  set(change: Partial<T> | ((value: T) => Partial<T>)): void {
    const part = typeof change === "function" ? change(this.value) : change;
    let same = true;
    for (const name in part) if (part[name] !== this.value[name]) same = false;
    if (same) return;
    this.value = { ...this.value, ...part };
    for (const listener of this.listeners) listener();
  }

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };
}

/** The part of a store that a view draws. The selector must give the same object for the same value. */
export function useStore<T, S>(store: Store<T>, select: (value: T) => S): S {
  return useSyncExternalStore(store.subscribe, () => select(store.get()));
}
