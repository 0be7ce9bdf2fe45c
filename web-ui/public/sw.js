// The page without the daemon: what was loaded of it once is kept, so that an installed page opens and shows the copies
// of this browser while the daemon is away.
//
// Invariant: only files of the page are kept, never an answer of the API. The page itself is asked of the daemon first;
// what has its content's hash in its name cannot be stale.
const STORE = "vibes-1";

self.addEventListener("install", (event) => {
  self.skipWaiting();
  event.waitUntil(caches.open(STORE).then((store) => store.add("/")));
});

self.addEventListener("activate", (event) => {
  event.waitUntil(
    caches.keys().then((names) => Promise.all(names.filter((name) => name !== STORE).map((name) => caches.delete(name)))).then(() => self.clients.claim()),
  );
});

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || url.origin !== location.origin || url.pathname.startsWith("/v1/")) return;
  if (url.pathname.startsWith("/assets/")) event.respondWith(kept(event.request));
  else if (event.request.mode === "navigate" || /\.(svg|png|webmanifest)$/.test(url.pathname)) event.respondWith(fresh(event.request));
});

async function kept(request) {
  const store = await caches.open(STORE);
  const found = await store.match(request);
  if (found) return found;
  const answer = await fetch(request);
  if (answer.ok) await store.put(request, answer.clone());
  return answer;
}

async function fresh(request) {
  const store = await caches.open(STORE);
  try {
    const answer = await fetch(request);
    if (answer.ok) {
      await store.put(request, answer.clone());
      if (request.mode === "navigate") await sweep(store, await answer.clone().text());
    }
    return answer;
  } catch (error) {
    const found = (await store.match(request)) ?? (request.mode === "navigate" ? await store.match("/") : undefined);
    if (found) return found;
    throw error;
  }
}

/** Parts of an older page go when a newer one names others as its beginning. */
async function sweep(store, page) {
  const main = /\/assets\/index-[\w-]+\.js/.exec(page)?.[0];
  const old = await store.match("/main-part");
  if (!main || (old && (await old.text()) === main)) return;
  for (const request of await store.keys()) if (new URL(request.url).pathname.startsWith("/assets/")) await store.delete(request);
  await store.put("/main-part", new Response(main));
}
