// What this browser does, and what the daemon says of itself.

import { lazy, Suspense, useEffect, useState } from "react";
import { hub } from "../app";
import type { DaemonStatus } from "../protocol";
import { signOut } from "../net/auth";
import { recall, remember } from "../state/kept";
import { theme, type Theme } from "../state/theme";
import { Icon } from "../ui/Icon";
import { Facts } from "./details/Overview";
import { Rules } from "./Rules";

const Tokens = lazy(() => import("./Tokens"));

export default function Settings() {
  const [look, setLook] = useState<Theme>(theme.get());
  const [notify, setNotify] = useState(recall("notify") === "on");
  const [status, setStatus] = useState<DaemonStatus | null>(null);
  useEffect(() => {
    hub.socket.request("daemon_status", {}, true).then(setStatus, () => undefined);
  }, []);
  const blocked = typeof Notification === "undefined" || Notification.permission === "denied";
  return (
    <main className="main page" aria-label="Settings">
      <header className="head"><a className="icon-button back" href="#/" aria-label="Back to the list"><Icon name="back" /></a><div className="head-title"><h1>Settings</h1></div></header>
      <div className="page-body">
        <section>
          <h2>Look</h2>
          <div className="segments" role="radiogroup" aria-label="Theme">
            {(["system", "light", "dark"] as const).map((one) => (
              <button key={one} type="button" role="radio" aria-checked={look === one} onClick={() => (theme.set(one), setLook(one))}>{one === "system" ? "As the system" : one === "light" ? "Light" : "Dark"}</button>
            ))}
          </div>
        </section>
        <section>
          <h2>Notifications</h2>
          <label className="check">
            <input
              type="checkbox" checked={notify && !blocked} disabled={blocked}
              onChange={(event) => {
                const on = event.target.checked;
                if (!on) return remember("notify", null), setNotify(false);
                void Notification.requestPermission().then((answer) => {
                  remember("notify", answer === "granted" ? "on" : null);
                  setNotify(answer === "granted");
                });
              }}
            />
            Tell me when a session needs me, is done or fails while this page is not in front
          </label>
          {blocked && <p className="hint">This browser does not let the page notify you.</p>}
        </section>
        <Rules />
        <Suspense fallback={null}><Tokens /></Suspense>
        {status && (
          <section>
            <h2>Daemon</h2>
            <Facts facts={[
              ["Version", `${status.version}, protocol ${status.protocol}`], ["Process", String(status.pid)], ["Since", new Date(status.started_at * 1000).toLocaleString()],
              ["Sessions", String(status.sessions)], ["Socket", <span className="mono">{status.socket}</span>],
              ["Problems", status.problems.length ? status.problems.join(" ") : null],
            ]} />
          </section>
        )}
        <section>
          <h2>This browser</h2>
          <p className="hint">Gives the token back and forgets the drafts and the copies kept here. Sessions stay as they are.</p>
          <button type="button" className="danger" onClick={() => void signOut()}>Sign out</button>
        </section>
      </div>
    </main>
  );
}
