// The browser side: Debian's Chromium, headless, with a fresh profile.
import { chromium } from "playwright-core";

const flags = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];

// launch starts Chromium; Playwright gives it a fresh --user-data-dir.
export function launch(...more) {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: [...flags, ...more] });
}

// until returns what f returns as soon as that is truthy.
export async function until(what, f, seconds = 60) {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    const got = await f();
    if (got) return got;
    if (Date.now() > deadline) throw new Error(`waited ${seconds} s in vain for ${what}`);
    await new Promise((done) => setTimeout(done, 20));
  }
}

// Tab is a page with the SDK in it, and what both sides know of the session.
export class Tab {
  constructor(page) {
    this.page = page;
    this.errors = [];
    page.on("pageerror", (e) => this.errors.push(String(e)));
  }

  static async open(context, url, { clock = false } = {}) {
    const tab = new Tab(await context.newPage());
    if (clock) await tab.page.clock.install();
    await tab.page.goto(url);
    return tab;
  }

  // ---- the SDK's side
  sync() { return this.page.evaluate(() => client.session.getSync()); }
  info() { return this.page.evaluate(() => client.session.getInfo()); }
  tokens() { return this.page.evaluate(() => client.session.getTokens()); }
  changes() { return this.page.evaluate(() => changes.slice()); }

  // settled waits until the SDK has had its answer about the session.
  settled() { return this.page.waitForFunction(() => !client.session.getInfo().fromCache); }

  // Each returns null, or what the SDK's promise was rejected with.
  authenticate(options) {
    return this.page.evaluate((o) => client.session.authenticate(o).then(() => null, (e) => ({ name: e.name, error_type: e.error_type, status_code: e.status_code })), options);
  }
  revoke(options) {
    return this.page.evaluate((o) => client.session.revoke(o).then(() => null, (e) => ({ name: e.name, error_type: e.error_type, status_code: e.status_code })), options);
  }
  update(tokens) { return this.page.evaluate((t) => client.session.updateSession(t), tokens); }

  // ---- the server's side, asked from the page with its cookies
  fetch(method, path, body) {
    return this.page.evaluate(async ([method, path, body]) => {
      const res = await fetch(path, { method, cache: "no-store", headers: body ? { "Content-Type": "application/json" } : {}, body: body && JSON.stringify(body) });
      const text = await res.text();
      return {
        status: res.status, challenge: res.headers.get("WWW-Authenticate"), retryAfter: res.headers.get("Retry-After"),
        body: text && /json/.test(res.headers.get("Content-Type") ?? "") ? JSON.parse(text) : text,
      };
    }, [method, path, body]);
  }
  session() { return this.fetch("GET", "/api/session"); }
  optional() { return this.fetch("GET", "/api/optional").then((a) => a.body); }
  // sent is what the server receives: name to values, in the browser's order.
  async sent() { return (await this.fetch("GET", "/cookies")).body; }

  // jar is what the browser keeps, HttpOnly cookies included.
  async jar() { return (await this.page.context().cookies()).filter((c) => c.name.includes("stytch_session")); }
}

// names of a jar's cookies, in order.
export const names = (jar) => jar.map((c) => c.name).sort();
export const value = (jar, name) => jar.find((c) => c.name === name)?.value;

// claims reads a JWT without looking at its signature.
export const claims = (jwt) => JSON.parse(Buffer.from(jwt.split(".")[1], "base64url"));

// put writes cookies as the shared posture and the SDK do.
export async function put(context, url, cookies) {
  await context.addCookies(Object.entries(cookies).map(([name, value]) => ({ name, value, url, sameSite: "Lax" })));
}
export const shared = (login) => ({ stytch_session: login.session_token, stytch_session_jwt: login.session_jwt });
