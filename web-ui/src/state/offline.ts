// Copies of sessions in this browser, to be read without the daemon and to go on from after a reload.
//
// Invariant: a copy is a transcript with its cursor, written whole; one of another shape of this program is not read.

import { openDB, type IDBPDatabase } from "idb";
import type { SessionInfo } from "../protocol";
import { trim, type Transcript } from "./fold";
import type { Hub } from "./hub";
import type { Window } from "./model";

/** Raise it when transcripts get another shape. */
const SHAPE = 1;
const KEPT_ITEMS = 300;
const MOST_SESSIONS = 200;
const EVERY_MS = 2_000;
/** Writing copies what is written, so a few at a time, and what still streams seldom. */
const AT_A_TIME = 3;
const STREAMING_MS = 15_000;

interface Copy { id: string; saved: number; session: SessionInfo; transcript: Transcript | null }

let database: Promise<IDBPDatabase> | null = null;

function open(): Promise<IDBPDatabase> {
  database ??= openDB("vibes", SHAPE, {
    upgrade(db) {
      for (const name of [...db.objectStoreNames]) db.deleteObjectStore(name);
      db.createObjectStore("sessions", { keyPath: "id" }).createIndex("saved", "saved");
    },
    blocking: (_now, _next, event) => (event.target as IDBDatabase).close(),
  });
  return database;
}

/** What was kept, for the time until the daemon answers. */
export async function load(hub: Hub): Promise<void> {
  try {
    const copies = (await (await open()).getAll("sessions")) as Copy[];
    const windows = new Map<string, Window>();
    for (const { id, transcript } of copies) {
      if (transcript) windows.set(id, { transcript, joined: "none", loading: false, trouble: null });
    }
    hub.restore(copies.map((copy) => copy.session), windows);
  } catch {
    // No storage in this browser, or a forbidden one: the daemon has everything.
  }
}

/** Writes what changed, a few seconds after it did, and when the page goes. */
export function keep(hub: Hub): void {
  const written = new Map<string, { session: SessionInfo; transcript: Transcript | undefined; at: number }>();
  let timer = 0;
  // Before the daemon has told its sessions, what is here is what was kept.
  let told = false;
  const save = async (leaving: boolean) => {
    clearTimeout(timer);
    timer = 0;
    const { sessions, windows, listed } = hub.store.get();
    told ||= listed;
    if (!told) return;
    const changed: Copy[] = [];
    const gone = [...written.keys()].filter((id) => !sessions.has(id));
    for (const [id, session] of sessions) {
      const transcript = windows.get(id)?.transcript;
      const before = written.get(id);
      if (before && before.session === session && before.transcript === transcript) continue;
      if (!leaving && before && session.state === "processing" && Date.now() - before.at < STREAMING_MS) continue;
      if (changed.length >= (leaving ? 30 : AT_A_TIME)) {
        timer ||= window.setTimeout(() => void save(false), EVERY_MS / 4);
        break;
      }
      written.set(id, { session, transcript, at: Date.now() });
      const kept = transcript && transcript.items.length > 0 ? trim(transcript, KEPT_ITEMS) : null;
      changed.push({ id, saved: session.last_activity_ms, session, transcript: kept });
    }
    if (changed.length === 0 && gone.length === 0) return;
    try {
      const store = (await open()).transaction("sessions", "readwrite").store;
      for (const id of gone) {
        written.delete(id);
        void store.delete(id);
      }
      for (const copy of changed) void store.put(copy);
      let over = (await store.count()) - MOST_SESSIONS;
      for (let cursor = over > 0 ? await store.index("saved").openCursor() : null; cursor && over > 0; over -= 1) {
        await cursor.delete();
        cursor = await cursor.continue();
      }
    } catch {
      // A full storage: the next change tries again.
    }
  };
  hub.store.subscribe(() => {
    timer ||= window.setTimeout(() => void save(false), EVERY_MS);
  });
  addEventListener("pagehide", () => void save(true));
}

export async function forget(id: string): Promise<void> {
  try {
    await (await open()).delete("sessions", id);
  } catch {
    // Nothing was kept.
  }
}
