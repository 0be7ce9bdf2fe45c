// Wires the page together: first what this browser remembers, then the daemon.

import { createRoot } from "react-dom/client";
import { hub } from "./app";
import { exchange } from "./net/auth";
import { claim } from "./net/identity";
import { attend } from "./state/attention";
import { keep, load } from "./state/offline";
import { reading } from "./state/reading";
import { route } from "./state/route";
import { theme } from "./state/theme";
import { share } from "./state/tabs";
import { App } from "./views/App";
import "./styles/base.css";
import "./styles/app.css";
import "./styles/session.css";
import "./styles/details.css";

theme.apply();
attend(hub, () => {
  const now = route();
  return now.at === "session" ? now.id : null;
});
reading(hub);
share(hub);
createRoot(document.getElementById("root")!).render(<App />);

const [refusal] = await Promise.all([exchange(), claim(), load(hub)]);
keep(hub);
hub.socket.open();
if (refusal) hub.toast({ tone: "bad", text: refusal });
if ("serviceWorker" in navigator && isSecureContext) {
  addEventListener("load", () => void navigator.serviceWorker.register("/sw.js").catch(() => undefined));
  if (document.readyState === "complete") void navigator.serviceWorker.register("/sw.js").catch(() => undefined);
}
