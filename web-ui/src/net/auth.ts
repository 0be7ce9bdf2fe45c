// The token of this page: traded for the one-time code of `vibes web`, kept in the origin's storage.
//
// Invariant: the code is out of the address bar and the history before anything else happens, and neither it nor the
// token is ever put into an address.

import { recall, remember } from "../state/kept";

export async function exchange(): Promise<string | null> {
  const code = new URLSearchParams(location.hash.slice(1)).get("code");
  if (!code) return null;
  history.replaceState(null, "", location.pathname);
  let answer: Response;
  try {
    answer = await fetch("/v1/auth/exchange", {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ code }),
      credentials: "omit", cache: "no-store",
    });
  } catch {
    return recall("token") ? null : "The daemon does not answer. Run `vibes web` again.";
  }
  if (answer.ok) {
    const { token } = (await answer.json()) as { token: string };
    remember("token", token);
    return null;
  }
  // A reload shows the same address again; what this browser has may still be good.
  return recall("token") ? null : "This code was used or is too old. Run `vibes web` again and open the address it prints.";
}
