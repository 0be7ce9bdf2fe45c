// The page: list and session beside each other, or one of them on a small screen; what floats above both.

import { lazy, Suspense, useEffect, useState } from "react";
import { actions, hub, useApp } from "../app";
import { announcements } from "../state/attention";
import { draft, keepDraft, recall } from "../state/kept";
import { groupOf, titleOf } from "../state/model";
import { go, route, showSession, useRoute } from "../state/route";
import { Icon } from "../ui/Icon";
import { visible } from "../ui/text";
import { Session } from "./Session";
import { Sidebar } from "./Sidebar";

const NewSession = lazy(() => import("./NewSession"));
const Inbox = lazy(() => import("./Inbox"));
const Settings = lazy(() => import("./Settings"));
const Costs = lazy(() => import("./Costs"));
const Keys = lazy(() => import("./Keys"));

export function App() {
  const now = useRoute();
  const [making, setMaking] = useState(false);
  const [helping, setHelping] = useState(false);
  useShortcuts(() => setMaking(true), () => setHelping(true));
  const page = now.at === "session" ? <Session id={now.id} seq={now.seq} />
    : now.at === "inbox" ? <Inbox />
    : now.at === "settings" ? <Settings />
    : now.at === "costs" ? <Costs />
    : <Home onNew={() => setMaking(true)} />;
  return (
    <div className={`app at-${now.at}`}>
      <Banner />
      <div className="panes">
        <Sidebar onNew={() => setMaking(true)} />
        <Suspense fallback={<main className="main" />}>{page}</Suspense>
      </div>
      <Toasts />
      <Announcer />
      <Suspense fallback={null}>
        {making && <NewSession onClose={() => setMaking(false)} />}
        {helping && <Keys onClose={() => setHelping(false)} />}
      </Suspense>
    </div>
  );
}

function useShortcuts(onNew: () => void, onHelp: () => void): void {
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      if (event.defaultPrevented || target.closest("dialog, [role=menu]")) return;
      const typing = target.matches("input, textarea, select");
      if (event.altKey && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
        event.preventDefault();
        return walk(event.key === "ArrowDown" ? 1 : -1);
      }
      if ((event.metaKey || event.ctrlKey) && event.key === "k") {
        event.preventDefault();
        document.getElementById("search")?.focus();
        return;
      }
      if (typing || event.metaKey || event.ctrlKey || event.altKey) return;
      switch (event.key) {
        case "/": document.getElementById("search")?.focus(); break;
        case "n": onNew(); break;
        case "i": go("#/inbox"); break;
        case "t": document.querySelector<HTMLElement>('.head [aria-label="Details"]')?.click(); break;
        case "c": document.querySelector<HTMLElement>(".composer textarea")?.focus(); break;
        case "j": walk(1); break;
        case "k": walk(-1); break;
        case "?": onHelp(); break;
        default: return;
      }
      event.preventDefault();
    };
    document.addEventListener("keydown", pressed);
    return () => document.removeEventListener("keydown", pressed);
  });
}

/** To the next session as the list shows them. */
function walk(step: number): void {
  const rows = [...document.querySelectorAll<HTMLAnchorElement>("a.session")];
  const at = rows.findIndex((row) => row.getAttribute("aria-current") === "page");
  const next = rows[at < 0 ? 0 : at + step];
  const id = next?.getAttribute("href")?.slice(4);
  if (id) showSession(id);
}

function Banner() {
  const connection = useApp((state) => state.connection);
  const warnings = useApp((state) => state.warnings);
  const known = useApp((state) => state.sessions.size > 0);
  const [, tick] = useState(0);
  const waiting = connection.at === "waiting";
  useEffect(() => {
    if (!waiting) return;
    const timer = setInterval(() => tick((n) => n + 1), 1000);
    return () => clearInterval(timer);
  }, [waiting]);
  if (connection.at === "refused") {
    return (
      <div className="banner bad" role="alert">
        <Icon name="warn" size={15} /> <span>{connection.why}</span>
        <button type="button" onClick={() => hub.socket.retry()}>Try again</button>
      </div>
    );
  }
  if (connection.at === "waiting") {
    const left = Math.max(0, Math.ceil((connection.retryAt - Date.now()) / 1000));
    return (
      <div className="banner" role="status">
        <span className="spinner" aria-hidden="true" />
        <span>Reconnecting ({connection.attempt}){left > 1 ? `, again in ${left} s` : "…"} {known && <span className="hint">What you see is what this browser has.</span>}</span>
        <button type="button" onClick={() => hub.socket.retry()}>Retry now</button>
      </div>
    );
  }
  if (warnings.length > 0) return <div className="banner bad" role="alert"><Icon name="warn" size={15} /> <span>{warnings.join(" ")}</span></div>;
  return null;
}

/** No session on screen: the last one if there was one, else the first message makes one. */
function Home({ onNew }: { onNew(): void }) {
  const sessions = useApp((state) => state.sessions);
  const listed = useApp((state) => state.listed);
  const agents = useApp((state) => state.agents);
  const waiting = [...sessions.values()].filter((session) => groupOf(session) === "needs");
  const working = [...sessions.values()].filter((session) => groupOf(session) === "working").length;
  const [text, setText] = useState(() => draft("new"));
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    // On a wide screen the last session comes back; on a phone the list is the way in.
    const last = recall("last");
    if (first && last && sessions.has(last) && matchMedia("(min-width: 1024px)").matches) {
      first = false;
      go(`#/s/${last}`, true);
    } else if (listed) first = false;
  }, [sessions, listed]);
  const start = async () => {
    if (!text.trim() || busy) return;
    setBusy(true);
    const recent = [...sessions.values()].sort((a, b) => b.last_activity_ms - a.last_activity_ms)[0];
    const agent = recall("agent") ?? recent?.agent ?? agents.find((one) => one.installed)?.id ?? "shell";
    const cwd = recall("cwd") ?? recent?.cwd;
    if (!cwd) {
      setBusy(false);
      return onNew();
    }
    const made = await actions.create({ agent, cwd, prompt: text.trim() });
    setBusy(false);
    if (!made) return;
    keepDraft("new", "");
    showSession(made.id);
  };
  return (
    <main className="main">
      <div className="home">
        <img src="/icon.svg" alt="" width="56" height="56" />
        <h1>{waiting.length ? `${waiting.length} ${waiting.length === 1 ? "session needs" : "sessions need"} you` : working ? `${working} at work` : "All quiet"}</h1>
        {waiting.slice(0, 5).map((session) => <a key={session.id} className="button" href={`#/s/${session.id}`}>{visible(titleOf(session))}</a>)}
        <form
          className="first" onSubmit={(event) => {
            event.preventDefault();
            void start();
          }}
        >
          <textarea
            rows={2} aria-label="First message" placeholder="Write a first message: it makes a session" value={text} onChange={(event) => (setText(event.target.value), keepDraft("new", event.target.value))}
            onKeyDown={(event) => {
              if (event.key === "Enter" && !event.shiftKey) {
                event.preventDefault();
                void start();
              }
            }}
          />
          <div><button type="button" onClick={onNew}>Choose agent and directory…</button> <button type="submit" className="primary" disabled={!text.trim() || busy}>Start</button></div>
        </form>
        <p className="hint"><kbd>n</kbd> new · <kbd>/</kbd> search · <kbd>j</kbd> <kbd>k</kbd> walk · <kbd>i</kbd> approvals · <kbd>?</kbd> all keys</p>
      </div>
    </main>
  );
}

let first = route().at === "home";

function Toasts() {
  const toasts = useApp((state) => state.toasts);
  return (
    <div className="toasts" role="status" aria-live="polite">
      {toasts.map((toast) => (
        <div key={toast.id} className={`toast ${toast.tone}`}>
          <span>{visible(toast.text)}</span>
          {toast.action && <button type="button" className="link" onClick={() => (toast.action!.run(), hub.dismiss(toast.id))}>{toast.action.label}</button>}
          {toast.session && <button type="button" className="link" onClick={() => (showSession(toast.session!), hub.dismiss(toast.id))}>Show</button>}
          <button type="button" className="icon-button small" aria-label="Dismiss" onClick={() => hub.dismiss(toast.id)}><Icon name="cross" size={13} /></button>
        </div>
      ))}
    </div>
  );
}

/** Says to screen readers what others see. */
function Announcer() {
  const [text, setText] = useState("");
  useEffect(() => {
    announcements.say = setText;
    return () => {
      announcements.say = () => undefined;
    };
  }, []);
  return <div className="sr" role="alert">{text}</div>;
}
