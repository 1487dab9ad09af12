// stytch-local, the fake as a program: its page in the browser, and the
// environment it prints in the hands of Stytch's own clients.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { build, here, scratch, start } from "../lib/app.mjs";
import { launch } from "../lib/browser.mjs";

const artifacts = process.env.INTEROP_ARTIFACTS || join(here, "artifacts");
let program, folder;

before(() => {
  mkdirSync(artifacts, { recursive: true });
  folder = scratch();
  program = build(folder.dir, "./stytchtest/cmd/stytch-local", join(here, ".."));
});
after(() => folder?.remove());

// serve starts stytch-local and reads the environment it prints.
async function serve(t, ...args) {
  const server = await start(program, ["-addr", "127.0.0.1:0", ...args]);
  t.after(async () => {
    const { code, signal } = await server.stop("SIGTERM");
    assert.deepEqual([code, signal], [0, null], "a clean end");
  });
  const env = {};
  while (Object.keys(env).length < (args.includes("-tls") ? 6 : 4)) {
    const line = await server.nextLine();
    if (!line.startsWith("#")) env[line.slice(0, line.indexOf("="))] = line.slice(line.indexOf("=") + 1);
  }
  return env;
}

test("the page, by mouse, beside the browser SDK pointed there by a resolver rule", async (t) => {
  const env = await serve(t, "-tls");
  const base = new URL(env.STYTCH_BASE_URL);
  const browser = await launch(`--host-resolver-rules=MAP test.stytch.com:443 ${base.host}`, "--ignore-certificate-errors");
  t.after(() => browser.close());
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const wrong = [];
  context.on("weberror", (e) => wrong.push(String(e.error())));
  const page = await context.newPage();
  page.on("console", (m) => { if (m.type() === "error") wrong.push(m.text()); });
  await page.goto(env.STYTCH_BASE_URL);
  for (const [name, value] of Object.entries(env)) assert((await page.locator("#lines").innerText()).includes(`${name}=${value}`), name);

  // Log a session in with chosen factors and copy its tokens.
  await page.getByLabel("SMS code").check();
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("heading", { name: /^Tokens of session-test-/ }).waitFor();
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  // It says "Copied" for a moment only, so it is watched from before.
  await page.evaluate(() => {
    const button = document.querySelector("[data-copy=token]");
    window.copied = new Promise((done) => {
      new MutationObserver(() => button.textContent === "Copied" && done()).observe(button, { childList: true, characterData: true, subtree: true });
    });
  });
  await page.locator("[data-copy=token]").click();
  await page.evaluate(() => window.copied);
  const token = await page.locator("#token").innerText();
  const jwt = await page.locator("#jwt").innerText();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), token);
  await page.getByText("magic_link by email (account), otp by sms (phone)").waitFor();
  const kid = await page.locator("#kid").innerText();
  await page.getByRole("button", { name: "Rotate", exact: true }).click();
  await page.waitForFunction((old) => document.querySelector("#kid").textContent !== old, kid);
  await page.screenshot({ path: join(artifacts, "stytch-local.png"), fullPage: true });

  // A front end with the SDK as it is shipped.
  const site = createServer((_, res) => res.setHeader("Content-Type", "text/html").end("<!doctype html><title>app</title><link rel=icon href='data:,'>")).listen(0, "127.0.0.1");
  t.after(() => site.close());
  await once(site, "listening");
  const app = await context.newPage();
  await app.goto(`http://localhost:${site.address().port}/`);
  await app.addScriptTag({ path: join(here, "node_modules/@stytch/vanilla-js/dist/iife/index.headless.js") });
  const authenticated = await app.evaluate(async ([publicToken, session_token, session_jwt]) => {
    window.client = new stytch.StytchClient(publicToken);
    client.session.updateSession({ session_token, session_jwt });
    await client.session.authenticate();
    return client.session.getSync().authentication_factors.length;
  }, [env.STYTCH_PUBLIC_TOKEN, token, jwt]);
  assert.equal(authenticated, 2);

  // Faults by button, and the end of the session by another.
  await page.getByRole("button", { name: "500", exact: true }).click();
  await page.getByText("The project is failing: 500.").waitFor();
  const failed = await app.evaluate(() => client.session.authenticate().then(() => 200, (e) => e.status_code));
  assert.equal(failed, 500);
  await page.getByRole("button", { name: "None", exact: true }).click();
  await page.getByText("The project is failing").waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Revoke", exact: true }).click();
  await page.getByText("None.", { exact: true }).waitFor();
  const over = await app.evaluate(() => client.session.authenticate().then(() => 200, (e) => e.status_code));
  assert.equal(over, 404);
  assert.equal(await app.evaluate(() => client.session.getSync()), null);
  assert.deepEqual(wrong, []);
});

test("the page fits a phone", async (t) => {
  const env = await serve(t);
  const browser = await launch();
  t.after(() => browser.close());
  const page = await browser.newPage({ viewport: { width: 390, height: 844 } });
  await page.goto(env.STYTCH_BASE_URL);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("heading", { name: /^Tokens of session-test-/ }).waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390);
  await page.screenshot({ path: join(artifacts, "stytch-local-phone.png"), fullPage: true });
});

test("Stytch's Node SDK with the environment it prints", async (t) => {
  const env = await serve(t, "-tls");
  const node = await start(process.execPath, [join(here, "lib/node-client.mjs")], {
    NODE_EXTRA_CA_CERTS: env.NODE_EXTRA_CA_CERTS,
    CLIENT: JSON.stringify({ project_id: env.STYTCH_PROJECT_ID, secret: env.STYTCH_SECRET, custom_base_url: env.STYTCH_BASE_URL }),
  });
  t.after(() => node.stop());
  assert.equal(await node.nextLine(), "ready");
  node.child.stdin.write('{"call":"authenticate","args":{"session_token":"WJtR5BCy38Szd5AfoDpf0iqFKEt4EE5JhjlWUY7l3FtY"}}\n');
  const { value, error } = JSON.parse(await node.nextLine());
  assert.equal(error, undefined);
  assert.equal(value.session.user_id, "user-test-16d9ba61-97a1-4ba4-9720-b03761dc50c6");
});
