// How quick the page is: first paint and use with 200 sessions, switching to a conversation of 10,000 records, reading back
// one of 100,000, fifty sessions that stream. node e2e/figures.mjs
import { closeBrowser, House, open, theBrowser, until } from "./house.mjs";

const house = await House.open();
const median = (all) => all.sort((a, b) => a - b)[Math.floor(all.length / 2)];
/** Processor time of the page's main thread, task by task, while something is done. */
async function tasks(page, act) {
  const browser = await theBrowser();
  await browser.startTracing(page, { categories: ["toplevel", "__metadata"] });
  await act();
  const { traceEvents } = JSON.parse((await browser.stopTracing()).toString());
  const main = new Set(traceEvents.filter((one) => one.name === "thread_name" && one.args.name === "CrRendererMain").map((one) => `${one.pid} ${one.tid}`));
  return traceEvents.filter((one) => one.tdur !== undefined && main.has(`${one.pid} ${one.tid}`)).map((one) => Math.round(one.tdur / 1000));
}
const over = (all) => `${all.length} tasks, longest ${Math.max(...all)} ms, ${all.filter((ms) => ms >= 50).length} of 50 ms or more`;
try {
  const many = Number(process.argv[2] ?? 200);
  const ids = [];
  for (let at = 0; at < many; at += 1) ids.push(await house.session(`s${at}`, "shell", "echo ready", "--mode", "auto"));
  const page = await house.page();
  await page.locator("a.session").first().waitFor();
  const paints = [];
  const uses = [];
  for (let round = 0; round < 5; round += 1) {
    await page.goto("about:blank");
    await page.goto(house.link.split("#")[0]);
    await until(page, (many) => document.querySelectorAll("a.session").length >= many, Math.min(many, 200));
    const [paint, use] = await page.evaluate(() => [performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0, performance.now()]);
    paints.push(Math.round(paint));
    uses.push(Math.round(use));
  }
  console.log(`${many} sessions: first paint ${median(paints)} ms, whole list ${median(uses)} ms (medians of ${paints.length}: ${paints} / ${uses})`);

  const ten = await house.session("ten-thousand", "fake", Array.from({ length: 5000 }, (_, at) => `tool t${at} Step ${at}\ntool_done t${at}`).join("\n"));
  await house.vibes("wait", ten, "--until", "idle");
  const hundred = await house.session("hundred-thousand", "fake", "say BEGIN \nchunks 100000 10 0 H\nsay END");
  await house.vibes("wait", hundred, "--until", "idle", "--timeout", "300");
  const switches = [];
  await open(page, ten);
  await until(page, () => /Step 4999/.test(document.querySelector(".rows").innerText));
  for (let round = 0; round < 10; round += 1) {
    for (const id of [ids[0], ten]) {
      switches.push(await page.evaluate(async (id) => {
        const from = performance.now();
        location.hash = `#/s/${id}`;
        for (;;) {
          await new Promise((go) => requestAnimationFrame(go));
          if (document.querySelector(`a.session.current[href="#/s/${id}"]`) && document.querySelectorAll(".row").length > 1) return Math.round(performance.now() - from);
        }
      }, id));
    }
  }
  console.log(`switching, one of 10,000 records: median ${median(switches)} ms (${switches})`);

  const head = JSON.parse(await house.vibes("show", hundred, "--json"));
  const began = Date.now();
  const read = await tasks(page, async () => {
    await page.evaluate((id) => (location.hash = `#/s/${id}@4`), hundred);
    await until(page, () => /BEGIN/.test(document.querySelector(".rows").innerText));
  });
  console.log(`${(head.session ?? head).head} records read back to the first: ${Date.now() - began} ms; ${over(read)}; rows in the document: ${await page.locator(".row").count()}`);

  const streaming = [];
  for (let at = 0; at < Number(process.argv[3] ?? 20); at += 1) streaming.push(await house.session(`stream${at}`, "fake", `chunks 1000 30 10000 S${at}`));
  await open(page, streaming[0]);
  const heap = () => page.evaluate(() => Math.round(performance.memory.usedJSHeapSize / 1048576));
  const before = await heap();
  const busy = await tasks(page, () => page.waitForTimeout(6000));
  console.log(`${streaming.length} sessions at 100 updates/s: ${over(busy)}; heap ${before} MiB, then ${await heap()} MiB`);
} finally {
  await house.close().catch((error) => console.error(error.message));
  await closeBrowser();
}
