// The token of this page: traded for the one-time code of `vibes web`, kept in the origin's storage; or that of a link to
// one session, kept for this tab alone, so that looking at a shared session does not sign anybody out.
//
// Invariant: the code or token is out of the address bar and the history before anything else happens, and neither is
// ever put into an address.

import { recall, recallTab, remember, rememberTab } from "../state/kept";

export function token(): string | null {
  return recallTab("token") ?? recall("token");
}

export async function exchange(): Promise<string | null> {
  const said = new URLSearchParams(location.hash.slice(1));
  const [code, shared, session] = [said.get("code"), said.get("token"), said.get("session")];
  if (shared) {
    rememberTab("token", shared);
    history.replaceState(null, "", location.pathname + (session && /^[0-9a-f-]{8,36}$/.test(session) ? `#/s/${session}` : ""));
    dispatchEvent(new HashChangeEvent("hashchange"));
    return null;
  }
  if (!code) return null;
  history.replaceState(null, "", location.pathname);
  let answer: Response;
  try {
    answer = await fetch("/v1/auth/exchange", {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ code }),
      credentials: "omit", cache: "no-store",
    });
  } catch {
    return token() ? null : "The daemon does not answer. Run `vibes web` again.";
  }
  if (answer.ok) {
    const { token } = (await answer.json()) as { token: string };
    rememberTab("token", null);
    remember("token", token);
    return null;
  }
  // A reload shows the same address again; what this browser has may still be good.
  return token() ? null : "This code was used or is too old. Run `vibes web` again and open the address it prints.";
}

/** What this page's token lets it do; null where nobody says. */
export async function role(): Promise<string | null> {
  try {
    const answer = await fetch("/v1/auth", { headers: { authorization: `Bearer ${token()}` }, credentials: "omit", cache: "no-store" });
    return answer.ok ? (((await answer.json()) as { info?: { role?: string } }).info?.role ?? null) : null;
  } catch {
    return null;
  }
}

/** Gives the token back, so that nobody who finds it here can use it. */
export async function signOut(): Promise<void> {
  await fetch("/v1/auth", { method: "DELETE", headers: { authorization: `Bearer ${token()}` }, credentials: "omit" }).catch(() => undefined);
  localStorage.clear();
  sessionStorage.clear();
  indexedDB.deleteDatabase("vibes");
  location.replace(location.pathname);
}
