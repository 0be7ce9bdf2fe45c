// The conversation, as a window into a list that may be very long.
//
// Invariant: only rows on screen are in the document. Who reads at the end stays at the end while it grows; who reads
// further up stays where they are, whatever comes in above or below.

import { useVirtualizer, type VirtualItem } from "@tanstack/react-virtual";
import { useEffect, useLayoutEffect, useRef, useState } from "react";
import { hub, useApp } from "../app";
import type { SessionInfo } from "../protocol";
import type { Item } from "../state/items";
import { Icon } from "../ui/Icon";
import { Row } from "./rows";

/** Where a session was left: what was measured, and how far down it stood. */
interface Place { sizes: VirtualItem[]; offset: number; end: boolean }
const places = new Map<string, Place>();

const GUESS: { [kind in Item["kind"]]: number } = {
  prompt: 64, message: 120, thought: 30, person: 60, tool: 34, plan: 90, permission: 34, turn: 30, notice: 28,
};
const NOTHING: readonly Item[] = [];

export function Transcript({ session, seq }: { session: SessionInfo; seq: number | null }) {
  const id = session.id;
  const window_ = useApp((state) => state.windows.get(id));
  const outgoing = useApp((state) => state.outgoing);
  const items = window_?.transcript.items ?? NOTHING;
  const more = window_ ? window_.transcript.first > 1 : session.head > 0;
  const scroller = useRef<HTMLDivElement>(null);
  const [away, setAway] = useState(false);
  const [marked, setMarked] = useState<number | null>(null);
  const [target, setTarget] = useState<string | null>(null);
  const place = places.get(id);
  const virtual = useVirtualizer({
    count: items.length,
    getScrollElement: () => scroller.current,
    estimateSize: (at) => GUESS[items[at]!.kind],
    getItemKey: (at) => items[at]!.key,
    overscan: 6,
    anchorTo: "end",
    followOnAppend: true,
    scrollEndThreshold: 80,
    paddingStart: 16,
    paddingEnd: 20,
    initialMeasurementsCache: place?.sizes,
    initialOffset: place && !place.end ? place.offset : undefined,
  });

  const placed = useRef(place !== undefined && !place.end);
  useLayoutEffect(() => {
    if (placed.current || items.length === 0) return;
    placed.current = true;
    virtual.scrollToEnd();
  }, [items.length, virtual]);

  // What is left behind when another session is shown.
  useEffect(() => {
    const element = scroller.current;
    return () => {
      if (element) places.set(id, { sizes: virtual.takeSnapshot(), offset: virtual.scrollOffset ?? 0, end: virtual.isAtEnd(80) });
    };
  }, [id, virtual]);

  // Earlier records when the reader comes near the first one, or when the screen is not full.
  const first = virtual.getVirtualItems()[0]?.index ?? 0;
  const loading = window_?.loading ?? false;
  useEffect(() => {
    if (more && !loading && !window_?.trouble && first < 15) void hub.earlier(id);
  }, [more, loading, first, id, items.length, window_?.trouble]);

  // A link to a record leads there, as soon as it can be read.
  const led = useRef<number | null>(null);
  const trouble = window_?.trouble ?? null;
  useEffect(() => {
    if (seq === null || trouble !== null || led.current === seq) return;
    let wanted = true;
    void hub.reach(id, seq).then((reached) => {
      const { transcript: { items: all }, trouble } = hub.windowOf(id);
      if (!wanted || all.length === 0 || (!reached && trouble !== null)) return;
      const item = all.find((one) => one.seq >= seq || one.end >= seq) ?? all[all.length - 1]!;
      led.current = seq;
      setMarked(item.seq);
      setTarget(item.key);
    });
    return () => {
      wanted = false;
    };
  }, [id, seq, trouble]);
  // The list scrolls to places, and what is read before a record moves its place: so it is led to again, until the
  // reader takes over.
  const spot = useRef<{ target: string; at: number } | null>(null);
  useLayoutEffect(() => {
    const at = target === null ? -1 : items.findIndex((item) => item.key === target);
    if (target === null || at < 0) return;
    if (spot.current?.target === target && spot.current.at === at) return;
    spot.current = { target, at };
    virtual.scrollToIndex(at, { align: "center" });
  }, [target, items, virtual]);
  const takeOver = () => {
    spot.current = null;
    setTarget(null);
  };

  const shell = session.agent === "shell";
  const working = session.state === "processing" || session.state === "starting";
  const rows = virtual.getVirtualItems();
  return (
    <div className="transcript-frame">
      <div
        ref={scroller} className="transcript" tabIndex={0} role="log" aria-live="off" aria-label="Conversation"
        onWheel={takeOver} onTouchMove={takeOver} onPointerDown={takeOver} onKeyDown={takeOver}
        onScroll={() => {
          const end = virtual.isAtEnd(80);
          setAway(!end);
          hub.reading(end);
        }}
      >
        <div className="rows" style={{ height: virtual.getTotalSize() }}>
          {rows.map((row) => {
            const item = items[row.index];
            if (!item) return null;
            return (
              <div
                key={row.key} ref={virtual.measureElement} data-index={row.index} className={`row is-${item.kind}${item.seq === marked ? " marked" : ""}`}
                style={{ transform: `translateY(${row.start}px)` }}
              >
                <Row item={item} session={id} shell={shell} live={working && row.index === items.length - 1} />
              </div>
            );
          })}
        </div>
        {items.length === 0 && !loading && !outgoing.length && (
          <p className="empty">{more ? "" : session.state === "starting" ? "The agent is being started…" : "Nothing was said yet."}</p>
        )}
      </div>
      {loading && <div className="loading-line" role="status"><span className="sr">Loading earlier records</span></div>}
      {window_?.trouble && (
        <div className="trouble" role="status">
          {window_.trouble} <button type="button" className="link" onClick={() => void hub.earlier(id)}>Try again</button>
        </div>
      )}
      {away && (
        <button type="button" className="to-end" onClick={() => {
          takeOver();
          virtual.scrollToEnd();
        }}>
          <Icon name="down" size={14} /> Latest
        </button>
      )}
    </div>
  );
}
