// How a person is called: toasts, browser notifications, the title, the icon, and words for screen readers.
//
// Invariant: a notification tells which session and that something waits, never what an agent said: it leaves the page
// and may be read by anybody who looks at the screen.

import type { Message, SessionInfo } from "../protocol";
import type { Hub } from "./hub";
import { recall } from "./kept";
import { newIn, titleOf } from "./model";
import { showSession } from "./route";

/** Text for the live region; the view draws it. */
export const announcements = { say: (_text: string): void => undefined };

export function attend(hub: Hub, onScreen: () => string | null): void {
  const asked = new Set<string>();
  hub.onNotice((message, before) => {
    const session = (message["session"] as SessionInfo | undefined) ?? before;
    if (message.type === "closing") {
      if (message["reason"] === "replaced") hub.toast({ tone: "warn", text: "Another window took this one's place." });
      return;
    }
    if (!session) return;
    const here = onScreen() === session.id && !document.hidden;
    const name = titleOf(session);
    if (message.type === "session_removed") return removed(hub, message, session, here);
    if (message.type === "ownership_transferred") {
      if (!here && message["you_are_owner"] === true && before && !before.is_owner && before.subscriber_count > 1) {
        hub.toast({ tone: "info", text: `You own ${name} now`, session: session.id });
      }
      return;
    }
    if (message.type !== "session_updated") return;
    if (session.state === "waiting_permission") {
      for (const permission of session.pending_permissions) {
        if (asked.has(permission.permission_id)) continue;
        asked.add(permission.permission_id);
        if (before?.pending_permissions.some((one) => one.permission_id === permission.permission_id)) continue;
        announcements.say(`${name} asks for permission: ${permission.tool}`);
        if (!here) {
          hub.toast({ tone: "warn", text: `${name} asks for permission`, session: session.id });
          notify(`${name} needs you`, "It asks for permission", session.id);
        }
      }
    }
    if (before?.state !== session.state && session.state === "failed") {
      announcements.say(`${name} failed`);
      hub.toast({ tone: "bad", text: `${name} failed${session.reason ? `: ${session.reason}` : ""}`, session: session.id });
      notify(`${name} failed`, "", session.id);
    }
    const worked = before?.state === "processing" || before?.state === "waiting_permission";
    if (worked && session.state === "idle") {
      announcements.say(`${name} is done`);
      if (!here) notify(`${name} is done`, "", session.id);
    }
  });
  let before: unknown[] = [];
  hub.store.subscribe(() => {
    const { sessions, connection, reading } = hub.store.get();
    if (before[0] === sessions && before[1] === connection && before[2] === reading) return;
    before = [sessions, connection, reading];
    let waiting = 0;
    for (const session of sessions.values()) if (session.state === "waiting_permission") waiting += 1;
    const fresh = newIn(sessions.values()) - (reading === null ? 0 : (sessions.get(reading)?.unread ?? 0));
    badge(waiting, fresh, onScreen() ? hub.name(onScreen()!) : null, connection.at === "waiting");
  });
}

function removed(hub: Hub, message: Message, session: SessionInfo, here: boolean): void {
  if (here) return;
  const name = titleOf(session);
  switch (message["reason"]) {
    case "killed": return hub.toast({ tone: "info", text: `${name} was ended`, session: session.id });
    case "session_finished":
      if (session.state !== "failed") hub.toast({ tone: "good", text: `${name} finished`, session: session.id });
      return;
    case "owner_disconnected": return hub.toast({ tone: "warn", text: `${name} ended: its last window was closed`, session: session.id });
    case "deleted": return hub.toast({ tone: "info", text: `${name} was deleted` });
    default: return hub.toast({ tone: "info", text: `${name} expired`, session: session.id });
  }
}

function notify(title: string, body: string, session: string): void {
  if (!document.hidden || recall("notify") !== "on" || typeof Notification === "undefined" || Notification.permission !== "granted") return;
  try {
    const note = new Notification(title, { body, tag: session, icon: "/icon-192.png" });
    note.onclick = () => {
      focus();
      showSession(session);
      note.close();
    };
  } catch {
    // Some phones want notifications from a service worker only; the title and the icon tell it too.
  }
}

let drawn = "";

function badge(waiting: number, fresh: number, session: string | null, away: boolean): void {
  const title = `${waiting ? `(${waiting}) ` : ""}${fresh ? `${fresh} new · ` : ""}${away ? "reconnecting · " : ""}${session ? `${session} · ` : ""}vibes`;
  if (document.title !== title) document.title = title;
  const icon = waiting ? "/icon-badge.svg" : fresh ? "/icon-new.svg" : "/icon.svg";
  if (icon === drawn) return;
  drawn = icon;
  document.querySelector<HTMLLinkElement>('link[rel="icon"]')?.setAttribute("href", icon);
  const badging = navigator as Navigator & { setAppBadge?(n: number): Promise<void>; clearAppBadge?(): Promise<void> };
  void (waiting ? badging.setAppBadge?.(waiting) : badging.clearAppBadge?.())?.catch(() => undefined);
}
