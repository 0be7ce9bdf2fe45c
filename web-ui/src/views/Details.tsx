// Beside the conversation: the same session by other lights. Apart from the first view.

import { useEffect, useState, type KeyboardEvent } from "react";
import { recall, remember } from "../state/kept";
import type { SessionInfo } from "../protocol";
import { Icon } from "../ui/Icon";
import { Config, Overview } from "./details/Overview";
import { ConsoleTab, Events } from "./details/Events";
import { Files } from "./details/Files";
import { PlanGraph } from "./details/Plan";
import { Spent } from "./details/Spent";

const TABS = [
  { id: "overview", title: "Overview", view: Overview },
  { id: "plan", title: "Plan", view: PlanGraph },
  { id: "console", title: "Console", view: ConsoleTab },
  { id: "files", title: "Files", view: Files },
  { id: "costs", title: "Costs", view: Spent },
  { id: "events", title: "Events", view: Events },
  { id: "config", title: "Config", view: Config },
] as const;

export default function Details({ session, onClose }: { session: SessionInfo; onClose(): void }) {
  const [tab, setTab] = useState<string>(recall("tab") ?? "overview");
  useEffect(() => remember("tab", tab), [tab]);
  const at = Math.max(0, TABS.findIndex(({ id }) => id === tab));
  const View = TABS[at]!.view;
  const keys = (event: KeyboardEvent<HTMLDivElement>) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = TABS[(at + step + TABS.length) % TABS.length]!;
    setTab(next.id);
    event.currentTarget.querySelector<HTMLElement>(`#tab-${next.id}`)?.focus();
  };
  return (
    <aside className="details" aria-label="Details">
      <div className="tabs-bar">
        <div role="tablist" aria-label="Details" className="tabs" onKeyDown={keys}>
          {TABS.map(({ id, title }, place) => (
            <button key={id} id={`tab-${id}`} type="button" role="tab" aria-selected={place === at} aria-controls="tab-panel" tabIndex={place === at ? 0 : -1} onClick={() => setTab(id)}>{title}</button>
          ))}
        </div>
        <button type="button" className="icon-button" aria-label="Close details" onClick={onClose}><Icon name="cross" /></button>
      </div>
      <div id="tab-panel" role="tabpanel" aria-labelledby={`tab-${TABS[at]!.id}`} className="tab-panel" tabIndex={0}>
        <View key={session.id} session={session} />
      </div>
    </aside>
  );
}
