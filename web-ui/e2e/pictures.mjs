// Takes the pictures of the documentation: node e2e/pictures.mjs [DIRECTORY].
import { mkdirSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { closeBrowser, House, open, until } from "./house.mjs";

const to = process.argv[2] ?? fileURLToPath(new URL("../../docs/pictures", import.meta.url));
mkdirSync(to, { recursive: true });
const house = await House.open();
try {
  mkdirSync(join(house.work, "api"));
  const git = (...args) => execFileSync("git", args, { cwd: join(house.work, "api"), env: { ...house.env, GIT_AUTHOR_NAME: "ann", GIT_AUTHOR_EMAIL: "ann@example.org", GIT_COMMITTER_NAME: "ann", GIT_COMMITTER_EMAIL: "ann@example.org" } });
  git("init", "-q");
  git("commit", "-q", "--allow-empty", "-m", "begin");
  const retry = await house.session("retry-backoff", "actor", "The client gives up too early under a rate limit. Make the retries bounded, with jitter, and prove it.", "--cwd", join(house.work, "api"));
  await house.session("migration", "actor", "Write the migration for tenant ids", "--cwd", join(house.work, "api"));
  await house.session("docs", "actor", "Update the docs for the new limit");
  await house.session("flaky-tests", "actor", "Look for flaky tests in the cache");
  await house.session("release", "shell", "git push origin v2.1.0");
  await house.session("build", "shell", "for n in 1 2 3; do echo \"compiling crate $n of 3\"; done", "--mode", "auto");
  const paused = await house.session("spike", "actor", "Update the docs later");
  await house.vibes("wait", paused, "--until", "idle");
  await house.vibes("suspend", paused);
  const shot = async (name, options, act) => {
    const page = await house.page({ deviceScaleFactor: 1.5, reducedMotion: "reduce", ...options });
    await page.locator(`a.session[href="#/s/${retry}"]`).waitFor();
    await until(page, () => document.querySelectorAll("a.session.needs").length === 2);
    await act(page);
    await page.waitForTimeout(600);
    await page.screenshot({ path: join(to, `${name}.png`) });
    await page.context().close();
  };
  const laptop = { viewport: { width: 1280, height: 800 } };
  const phone = { viewport: { width: 390, height: 780 }, hasTouch: true, isMobile: true };
  const session = async (page) => {
    await open(page, retry);
    await page.locator(".dock .card").waitFor();
    await until(page, () => document.querySelector(".diff-lines") !== null);
    for (const toast of await page.locator('.toast [aria-label="Dismiss"]').all()) await toast.click().catch(() => undefined);
    await page.evaluate(() => document.activeElement.blur());
  };
  await shot("laptop-light", { ...laptop, colorScheme: "light" }, session);
  await shot("laptop-dark", { ...laptop, colorScheme: "dark" }, session);
  await shot("details-dark", { viewport: { width: 1440, height: 860 }, colorScheme: "dark" }, async (page) => {
    await session(page);
    await page.keyboard.press("t");
    await page.locator('[role="tab"]:has-text("Plan")').click();
  });
  await shot("phone-list-light", { ...phone, colorScheme: "light" }, async () => undefined);
  await shot("phone-session-dark", { ...phone, colorScheme: "dark" }, session);
  await shot("new-session-light", { ...laptop, colorScheme: "light" }, async (page) => {
    await page.keyboard.press("n");
    await page.locator("dialog").waitFor();
  });
} finally {
  await house.close().catch((error) => console.error(error.message));
  await closeBrowser();
}
