// The example program as a person uses it, without an account: by mouse on a
// desktop, by touch on a phone, and by keyboard alone. Screenshots go to
// INTEROP_ARTIFACTS, by default interop/artifacts.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { build, here, scratch, start } from "../lib/app.mjs";
import { claims, launch, until, value } from "../lib/browser.mjs";

const artifacts = process.env.INTEROP_ARTIFACTS || join(here, "artifacts");
let browser, program, folder;

before(async () => {
  mkdirSync(artifacts, { recursive: true });
  folder = scratch();
  program = build(folder.dir, "./examples/nethttp", join(here, ".."));
  browser = await launch();
});
after(async () => {
  await browser?.close();
  folder?.remove();
});

// visit starts the program, with no account and no configuration, and opens
// its page. Nothing may go wrong in the page but what the story asks for.
async function visit(t, name, options) {
  const own = { STYTCH_PROJECT_ID: "", STYTCH_SECRET: "", STYTCH_BASE_URL: "", ADDR: "127.0.0.1:0" };
  const server = await start(program, [], own);
  const url = /http:\S+/.exec(await server.nextLine())[0];
  const context = await browser.newContext({ reducedMotion: "reduce", ...options });
  context.setDefaultTimeout(60_000);
  const wrong = [], foreign = [];
  context.on("weberror", (e) => wrong.push(String(e.error())));
  context.on("console", (m) => {
    // Chromium notes every answer of 4xx and 5xx to a script; the guards' own
    // refusals are the story.
    const refusal = /^Failed to load resource: .* status of (401|503)/.test(m.text()) && m.location().url.startsWith(`${url}/api/`);
    if (m.type() === "error" && !refusal) wrong.push(`${m.text()} (${m.location().url})`);
  });
  context.on("request", (r) => { if (!r.url().startsWith(`${url}/`)) foreign.push(r.url()); });
  t.after(async () => {
    await context.close();
    const { code, signal } = await server.stop("SIGTERM");
    assert.deepEqual([code, signal], [0, null], "a clean end");
    assert.deepEqual(wrong, []);
    assert.deepEqual(foreign, [], "nothing leaves this machine");
  });
  const page = await context.newPage();
  await page.goto(url);
  return new Person(page, name);
}

class Person {
  constructor(page, name) {
    this.page = page;
    this.name = name;
    this.shots = 0;
  }

  button(label) { return this.page.getByRole("button", { name: label, exact: true }); }
  guard(title) { return this.page.locator("article.guard", { has: this.page.getByRole("heading", { name: title, exact: true }) }); }

  // press activates something the way this person does.
  press(what) { return this.page.viewportSize().width < 600 ? what.tap() : what.click(); }
  fill(label, text) { return this.page.getByLabel(label).fill(text); }

  // shows waits for the state at the top of the page.
  shows(state, page = this.page) {
    return page.waitForFunction((s) => document.querySelector("#pill").textContent === s, state);
  }

  // tries a guard and returns what it said.
  async tries(title) {
    const outcome = this.guard(title).locator(".outcome");
    const before = await outcome.evaluate((o) => { const marker = o.firstChild; o.dataset.seen = ""; return marker !== null; });
    if (before) await outcome.evaluate((o) => o.firstChild.setAttribute("data-old", ""));
    await this.press(this.guard(title).getByRole("button", { name: "Try" }));
    await outcome.locator("strong:not([data-old])").waitFor();
    return outcome.innerText();
  }

  // shot keeps the page as it looks, and asserts that it fits its window.
  async shot(what, fullPage = true) {
    const [wide, inner] = await this.page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
    assert(wide <= inner, `${what}: ${wide} px wide in a window of ${inner}`);
    await this.page.screenshot({ path: join(artifacts, `${this.name}-${++this.shots}-${what}.png`), fullPage });
  }

  // stale makes the JWT in the cookie stale, through the demo's control.
  async stale() {
    const button = this.page.locator("#stale");
    await this.press(button);
    await this.page.waitForFunction(() => !document.querySelector("#stale").hasAttribute("aria-busy"));
  }

  async cookie(name) { return value(await this.page.context().cookies(), name); }
}

// logIn is by magic link, from the inbox on the page.
async function logIn(p) {
  await p.shows("Logged out");
  await p.fill("E-mail", "ada@example.com");
  await p.press(p.button("Send magic link"));
  const link = p.page.getByRole("link", { name: "Log in", exact: true });
  await link.waitFor();
  await p.shot("mail");
  await Promise.all([p.page.waitForURL(/\/$/), p.press(link)]);
  await p.shows("Logged in");
}

const stories = { desktop: { viewport: { width: 1280, height: 900 } }, phone: { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 } };

for (const [name, options] of Object.entries(stories)) {
  test(`${name}: log in, step up, go stale, lose Stytch, log out`, async (t) => {
    const p = await visit(t, name, options);
    await logIn(p);
    assert.equal(await p.page.locator("#factors li").count(), 1);

    // Step up.
    assert.match(await p.tries("Session"), /^Let in/);
    assert.match(await p.tries("Second factor"), /^Refused: needs a second factor/);
    await p.shot("refused");
    await p.fill("Phone", "+12025550123");
    await p.press(p.button("Send code"));
    await p.press(p.button("Fill in"));
    assert.match(await p.page.getByLabel("Code").inputValue(), /^[0-9]{6}$/);
    await p.press(p.button("Verify"));
    await p.page.locator("#factors li").nth(1).waitFor();
    assert.equal(await p.page.locator("#factors .class.phone").count(), 1);
    assert.match(await p.tries("Second factor"), /^Let in/);
    assert.match(await p.tries("Recent"), /^Let in/);
    await p.page.evaluate(() => scrollTo(0, 0));
    await p.shot("stepped-up", false);
    await p.shot("stepped-up");

    // A stale JWT is renewed without anybody noticing.
    await p.page.evaluate(() => {
      window.states = [];
      new MutationObserver(() => states.push(document.querySelector("#pill").textContent)).observe(document.querySelector("#pill"), { childList: true, characterData: true, subtree: true });
    });
    const first = await p.cookie("stytch_session_jwt");
    await p.stale();
    const stale = await p.cookie("stytch_session_jwt");
    assert(claims(stale).exp < Date.now() / 1000, "the demo's control makes it stale");
    assert.match(await p.tries("Session"), /^Let in/);
    const renewed = await p.cookie("stytch_session_jwt");
    assert(claims(renewed).iat >= claims(first).iat && claims(renewed).exp > Date.now() / 1000, "and the next request renews it");
    assert.match(await p.tries("Second factor"), /^Let in, decided locally/);
    assert.deepEqual(await p.page.evaluate(() => states), [], "logged in all the time");

    // Without Stytch: what can be decided is, the rest is said honestly.
    await p.press(p.button("Make unavailable"));
    await p.button("Restore Stytch").waitFor();
    assert.match(await p.tries("Session"), /^Let in, decided locally/);
    assert.match(await p.tries("Fresh"), /^Cannot be decided: Stytch is unavailable/);
    // Stytch's last answer does for ten seconds; then a stale JWT cannot be
    // decided any more.
    await until("the last answer to be too old", async () => {
      await p.stale();
      return /^Cannot be decided: Stytch is unavailable/.test(await p.tries("Session"));
    }, 30);
    await p.shows("Logged in");
    await p.page.reload();
    await p.shows("Stytch unavailable");
    await p.page.getByText("not the same as being logged out").waitFor();
    assert.notEqual(await p.cookie("stytch_session"), undefined, "cookies are kept");
    await p.shot("unavailable");
    await p.press(p.button("Restore Stytch"));
    await p.button("Make unavailable").waitFor();
    await p.shows("Logged in"); // by itself
    assert.equal(await p.page.locator("#factors li").count(), 2, "nobody was logged out");

    // Log out here, and the other tab follows.
    const other = await p.page.context().newPage();
    await other.goto(p.page.url());
    await p.shows("Logged in", other);
    await p.press(p.page.locator("#when-authenticated .logout"));
    await p.shows("Logged out");
    await p.shows("Logged out", other);
    assert.equal(await p.cookie("stytch_session"), undefined);
    assert.equal(await p.cookie("stytch_session_jwt"), undefined);
    assert.match(await p.tries("Session"), /^Refused: no valid session/);
    await p.shot("logged-out");
  });
}

describe("keyboard", () => {
  // tabTo presses Tab until the focus is on what it looks for, and sees to it
  // that the focus can be seen on the way.
  async function tabTo(page, what, describe) {
    for (let i = 0; i < 80; i++) {
      await page.keyboard.press("Tab");
      const at = await page.evaluate(() => {
        const e = document.activeElement, box = e.getBoundingClientRect();
        if (e === document.body) return null; // between the page's end and its beginning
        return { seen: e.matches(":focus-visible") && box.width > 0 && getComputedStyle(e).outlineStyle !== "none", html: e.outerHTML.slice(0, 120) };
      });
      if (at) assert(at.seen, `the focus is not to be seen on ${at.html}`);
      if (await what.evaluate((e) => e === document.activeElement)) return;
    }
    assert.fail(`${describe} is out of the keyboard's reach`);
  }

  test("the whole story without a mouse", async (t) => {
    const p = await visit(t, "keyboard", stories.desktop);
    const { page } = p;
    const enter = async (what, describe) => {
      await what.waitFor();
      await tabTo(page, what, describe);
      await page.keyboard.press("Enter");
    };
    const type = async (label, text) => {
      await tabTo(page, page.getByLabel(label), label);
      await page.keyboard.type(text);
    };
    await p.shows("Logged out");
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the session");
    await p.shot("skip", false);
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement.id), "main");

    await type("E-mail", "ada@example.com");
    await page.keyboard.press("Enter");
    await enter(page.getByRole("link", { name: "Log in", exact: true }), "the link in the inbox");
    await p.shows("Logged in");

    const second = p.guard("Second factor");
    await enter(second.getByRole("button", { name: "Try" }), "Second factor");
    await second.getByText("Refused: needs a second factor").waitFor();
    await type("Phone", "+12025550123");
    await page.keyboard.press("Enter");
    await page.getByLabel("Code").waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.name), "code", "the focus is where the code goes");
    await enter(p.button("Fill in"), "Fill in");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Verify", "the focus is on what comes next");
    await page.keyboard.press("Enter");
    await page.locator("#factors .class.phone").waitFor();
    await enter(second.getByRole("button", { name: "Try" }), "Second factor");
    await second.getByText("Let in").waitFor();

    await enter(p.button("Make unavailable"), "Make unavailable");
    await p.button("Restore Stytch").waitFor();
    const fresh = p.guard("Fresh");
    await enter(fresh.getByRole("button", { name: "Try" }), "Fresh");
    await fresh.getByText("Stytch is unavailable").waitFor();
    await enter(p.button("Restore Stytch"), "Restore Stytch");
    await p.button("Make unavailable").waitFor();
    await enter(page.locator("#when-authenticated .logout"), "Log out");
    await p.shows("Logged out");
    await p.shot("logged-out", false);
  });
});
