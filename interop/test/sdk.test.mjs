// Stytch's real browser SDK in a real browser, beside a Go server with the
// middleware: what one does to the session, the other must see.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { App, here, json } from "../lib/app.mjs";
import { Tab, claims, launch, names, put, shared, until, value } from "../lib/browser.mjs";

let app, browser;

before(async () => {
  [app, browser] = await Promise.all([App.start(), launch()]);
  const { version } = JSON.parse(readFileSync(join(here, "node_modules/@stytch/vanilla-js/package.json")));
  console.log(`# @stytch/vanilla-js ${version}, Chromium ${browser.version()}, Node ${process.version}`);
});
after(async () => {
  await browser?.close();
  await app?.stop();
});

// visit opens the page with the SDK in a browser of its own that holds the
// cookies given. No scenario may end with an error in the page.
async function visit(t, world, cookies = {}, options) {
  const context = await browser.newContext();
  t.after(() => context.close());
  await put(context, world.url, cookies);
  const tab = await Tab.open(context, `${world.url}/`, options);
  t.after(() => assert.deepEqual(tab.errors, []));
  await tab.settled();
  return tab;
}

// plain opens a page without the SDK.
async function plain(t, world, cookies = {}) {
  const context = await browser.newContext();
  t.after(() => context.close());
  await put(context, world.url, cookies);
  return Tab.open(context, `${world.url}/plain`);
}

// readable asserts that the jar holds both cookies as SDK and server share
// them.
function readable(jar, domain = "localhost") {
  assert.deepEqual(names(jar), ["stytch_session", "stytch_session_jwt"]);
  for (const c of jar) {
    assert.deepEqual([c.httpOnly, c.sameSite, c.path, c.domain], [false, "Lax", "/", domain], c.name);
  }
}

const now = () => Date.now() / 1000;

describe("a session that is there already", () => {
  test("the SDK adopts it, and the server reads its cookies", async (t) => {
    const world = await app.world(t);
    const login = await world.login({ factors: ["email", "sms"] });
    const context = await browser.newContext();
    t.after(() => context.close());
    await put(context, world.url, shared(login));
    const asked = [];
    context.on("request", (r) => { if (r.url().includes("/sdk/v1/")) asked.push([r.method(), new URL(r.url()).pathname, r.postData()]); });
    const tab = await Tab.open(context, `${world.url}/`);
    await tab.settled();

    assert.equal((await tab.sync()).session_id, login.session_id);
    assert.deepEqual((await tab.sync()).authentication_factors.map((f) => f.delivery_method), ["email", "sms"]);
    assert.equal((await tab.info()).fromCache, false);
    assert.deepEqual(await tab.changes(), [login.session_id]);
    assert.equal((await tab.tokens()).session_token, login.session_token);

    const a = await tab.session();
    assert.deepEqual(a.body, { state: "authenticated", session_id: login.session_id, user_id: login.user_id, factors: 2, source: "local", plan: "" });
    assert.equal((await tab.fetch("GET", "/api/mfa")).status, 200);
    const jar = await tab.jar();
    readable(jar);
    assert.deepEqual(await tab.tokens(), { session_token: value(jar, "stytch_session"), session_jwt: value(jar, "stytch_session_jwt") });

    // The SDK is served with all it calls, and the server asked for nothing.
    await until("the SDK's events", async () => (await world.calls()).SDKEvents);
    const calls = await world.calls();
    assert.deepEqual(calls, { KeySet: calls.KeySet, Authenticate: 0, Revoke: 0, List: 0, Send: 0, Login: 0, Other: 0, SDKBootstrap: 1, SDKAuthenticate: 1, SDKRevoke: 0, SDKEvents: calls.SDKEvents });
    assert.deepEqual(asked.slice(0, 2).sort(), [
      ["GET", `/sdk/v1/projects/bootstrap/${world.public_token}`, null],
      ["POST", "/sdk/v1/sessions/authenticate", "{}"],
    ]);
    assert.deepEqual(tab.errors, []);
  });

  test("a back-end login through Hydrate is adopted by the SDK", async (t) => {
    const world = await app.world(t);
    const login = await world.login({ claims: { plan: "pro" } });
    const tab = await plain(t, world);
    const a = await tab.fetch("POST", "/api/hydrate", { session_token: login.session_token, session_jwt: login.session_jwt });
    assert.deepEqual([a.status, a.body.session_id, a.body.plan], [200, login.session_id, "pro"]);
    readable(await tab.jar());
    assert.equal((await world.calls()).SDKAuthenticate, 0);

    await tab.page.goto(`${world.url}/`);
    await tab.settled();
    assert.equal((await tab.sync()).session_id, login.session_id);
    assert.deepEqual((await tab.sync()).custom_claims, { plan: "pro" });
    assert.deepEqual(await tab.changes(), [login.session_id]);
    const calls = await world.calls();
    assert.deepEqual([calls.Authenticate, calls.SDKAuthenticate], [1, 1]);
    readable(await tab.jar());
    assert.equal((await tab.session()).body.source, "local");
  });

  test("only a JWT: the SDK takes its cookie away, and both sides are logged out", async (t) => {
    const world = await app.world(t);
    const login = await world.login();
    const tab = await visit(t, world, { stytch_session_jwt: login.session_jwt });
    assert.equal(await tab.sync(), null);
    assert.deepEqual(await tab.jar(), []);
    assert.equal((await tab.session()).status, 401);
  });
});

describe("updateSession", () => {
  test("with both tokens, then authenticate", async (t) => {
    const world = await app.world(t);
    const login = await world.login();
    const tab = await visit(t, world);
    assert.equal(await tab.sync(), null);
    assert.equal(await tab.tokens(), null);
    assert.equal((await tab.session()).status, 401);

    await tab.update({ session_token: login.session_token, session_jwt: login.session_jwt });
    assert.equal(await tab.sync(), null, "the SDK knows no session before it authenticates");
    assert.equal((await tab.session()).body.session_id, login.session_id, "the server does");
    assert.equal(await tab.authenticate({ session_duration_minutes: 30 }), null);
    assert.equal((await tab.sync()).session_id, login.session_id);
    assert.equal((await tab.changes()).at(-1), login.session_id);
    readable(await tab.jar());
    assert.deepEqual(claims((await tab.tokens()).session_jwt)["https://stytch.com/session"].id, login.session_id);
    assert.equal((await tab.session()).body.source, "local");
    assert.equal((await world.calls()).Authenticate, 0);
  });

  test("with only a token: the literal undefined is no JWT", async (t) => {
    const world = await app.world(t);
    const login = await world.login();
    const tab = await visit(t, world);
    await tab.update({ session_token: login.session_token });
    assert.equal(value(await tab.jar(), "stytch_session_jwt"), "undefined");
    assert.deepEqual((await tab.sent()).stytch_session_jwt, ["undefined"]);

    const a = await tab.session();
    assert.deepEqual([a.status, a.body.session_id, a.body.source], [200, login.session_id, "remote"]);
    readable(await tab.jar()); // the server wrote what was missing
    const tokens = await tab.tokens();
    assert.equal(claims(tokens.session_jwt).sub, login.user_id, "the SDK has the server's JWT");
    assert.equal((await tab.session()).body.source, "local");
    assert.equal(await tab.authenticate(), null);
    assert.equal((await tab.sync()).session_id, login.session_id);
    const calls = await world.calls();
    assert.deepEqual([calls.Authenticate, calls.SDKAuthenticate], [1, 1]);
  });
});

describe("refreshing", () => {
  test("a stale JWT is refreshed by the server, and the SDK stays consistent", async (t) => {
    const world = await app.world(t, { jwt_lifetime: 2 });
    const login = await world.login();
    const tab = await visit(t, world, shared(login));
    const old = (await tab.tokens()).session_jwt;
    await until("the JWT to expire", () => now() >= claims(old).exp);

    const changes = await tab.changes();
    const a = await tab.session();
    assert.deepEqual([a.status, a.body.session_id, a.body.source], [200, login.session_id, "remote"]);
    const fresh = (await tab.tokens()).session_jwt;
    assert(claims(fresh).iat > claims(old).iat, "the SDK reads the server's new JWT");
    assert.equal(fresh, value(await tab.jar(), "stytch_session_jwt"));
    readable(await tab.jar());
    assert.equal((await tab.sync()).session_id, login.session_id);
    assert.deepEqual(await tab.info(), { session: await tab.sync(), fromCache: false });
    assert.deepEqual(await tab.changes(), changes, "nothing to tell");
    assert.equal((await world.calls()).Authenticate, 1);
    assert.equal(await tab.authenticate(), null);
    assert.equal((await tab.session()).status, 200);
  });

  test("a page's many requests with one stale JWT are one call", async (t) => {
    const world = await app.world(t);
    const login = await world.login();
    const tab = await plain(t, world, { stytch_session: login.session_token, stytch_session_jwt: await world.mint(login.session_id, { age: 360 }) });
    const answers = await Promise.all(Array.from({ length: 30 }, () => tab.session()));
    assert.deepEqual(new Set(answers.map((a) => `${a.status} ${a.body.session_id}`)), new Set([`200 ${login.session_id}`]));
    assert.equal((await world.calls()).Authenticate, 1);
    readable(await tab.jar());
  });

  test("the SDK refreshes in the background while the server serves", async (t) => {
    const world = await app.world(t);
    const login = await world.login();
    const tab = await visit(t, world, shared(login), { clock: true });
    assert.equal((await world.calls()).SDKAuthenticate, 1);
    const during = Promise.all(Array.from({ length: 20 }, () => tab.session()));
    await tab.page.clock.fastForward("03:01");
    await until("the SDK's refresh", async () => (await world.calls()).SDKAuthenticate === 2);
    for (const a of await during) assert.deepEqual([a.status, a.body.session_id, a.body.source], [200, login.session_id, "local"]);
    assert.equal((await tab.session()).body.session_id, login.session_id);
    assert.equal((await tab.sync()).session_id, login.session_id);
    readable(await tab.jar());
    assert.equal((await world.calls()).Authenticate, 0);
  });

  test("a step-up elsewhere reaches the guard at once and the SDK when it asks", async (t) => {
    const world = await app.world(t);
    const login = await world.login({ factors: ["email"] });
    const tab = await visit(t, world, shared(login));
    const refused = await tab.fetch("GET", "/api/mfa");
    assert.deepEqual([refused.status, refused.challenge], [401, 'Bearer error="insufficient_user_authentication"']);
    assert.equal((await tab.sync()).session_id, login.session_id, "a demand to step up logs nobody out");
    await world.change(login.session_id, "step up");
    // What a guard asked Stytch serves for two seconds.
    await until("the guard to open", async () => (await tab.fetch("GET", "/api/mfa")).status === 200);
    assert.equal((await tab.sync()).authentication_factors.length, 1);
    assert.equal(claims((await tab.tokens()).session_jwt)["https://stytch.com/session"].authentication_factors.length, 2, "the guard wrote the new JWT");
    assert.equal(await tab.authenticate(), null);
    assert.equal((await tab.sync()).authentication_factors.length, 2);
  });
});

describe("logging out", () => {
  test("in the SDK, seen by the server", async (t) => {
    const world = await app.world(t);
    const login = await world.login();
    const tab = await visit(t, world, shared(login));
    const kept = (await tab.jar()).map((c) => `${c.name}=${c.value}`).join("; ");
    assert.equal((await tab.session()).status, 200);

    assert.equal(await tab.revoke(), null);
    assert.equal(await tab.sync(), null);
    assert.equal(await tab.tokens(), null);
    assert.equal((await tab.changes()).at(-1), null);
    assert.deepEqual(await tab.jar(), []);
    const a = await tab.session();
    assert.deepEqual([a.status, a.challenge], [401, 'Bearer realm="session"']);
    assert.deepEqual(await tab.optional(), { state: "anonymous" });
    assert.equal(await world.live(login.session_id), false);
    assert.equal((await world.calls()).SDKRevoke, 1);

    // Whoever kept a copy of the cookies passes until the JWT is stale, but
    // not where Stytch is asked; and from then on nowhere.
    const copy = (path) => json("GET", `${world.url}${path}`, undefined, { headers: { Cookie: kept } });
    assert.equal((await copy("/api/session")).status, 200);
    const fresh = await copy("/api/fresh");
    assert.equal(fresh.status, 401);
    assert.equal(fresh.headers.getSetCookie().length, 2, "cookies cleared");
    assert.equal((await copy("/api/session")).status, 401);
  });

  test("on the server, seen by the SDK in this tab and in another one", async (t) => {
    const world = await app.world(t);
    const login = await world.login();
    const tab = await visit(t, world, shared(login));
    const other = await Tab.open(tab.page.context(), `${world.url}/`);
    await other.settled();
    assert.equal((await other.sync()).session_id, login.session_id);

    assert.equal((await tab.fetch("POST", "/api/logout")).status, 204);
    assert.deepEqual(await tab.jar(), []);
    assert.equal(await world.live(login.session_id), false);
    for (const each of [tab, other]) assert.equal((await each.session()).status, 401);
    assert.equal(await tab.tokens(), null);
    assert.equal((await tab.sync()).session_id, login.session_id, "the SDK does not look at its cookies by itself");

    const failed = await tab.authenticate();
    assert.deepEqual([failed.status_code, failed.error_type], [401, "user_unauthenticated"]);
    for (const each of [tab, other]) {
      await each.page.waitForFunction(() => client.session.getSync() === null);
      assert.equal((await each.changes()).at(-1), null);
    }
    // A page that is loaded afterwards never sees a session.
    const late = await Tab.open(tab.page.context(), `${world.url}/`);
    await late.settled();
    assert.equal(await late.sync(), null);
  });

  test("on the server, noticed by the SDK's background refresh", async (t) => {
    const world = await app.world(t);
    const login = await world.login();
    const tab = await visit(t, world, shared(login), { clock: true });
    assert.equal((await tab.fetch("POST", "/api/logout")).status, 204);
    await tab.page.clock.fastForward("03:01");
    await tab.page.waitForFunction(() => client.session.getSync() === null);
    assert.equal((await tab.changes()).at(-1), null);
    assert.equal((await tab.session()).status, 401);
  });

  test("at Stytch, while both sides hold cookies", async (t) => {
    const world = await app.world(t);
    const login = await world.login();
    const tab = await visit(t, world, shared(login));
    await world.change(login.session_id, "revoke");
    assert.equal((await tab.fetch("GET", "/api/fresh")).status, 401);
    assert.deepEqual(await tab.jar(), [], "the server cleared what the SDK reads");
    assert.equal((await tab.authenticate()).status_code, 401);
    assert.equal(await tab.sync(), null);
  });

  test("while the API is down: the SDK stays, the server logs out here", async (t) => {
    const world = await app.world(t);
    const login = await world.login();
    const tab = await visit(t, world, shared(login));
    await world.fault({ down: true });
    assert.equal((await tab.revoke()).name, "StytchAPIUnreachableError");
    assert.equal((await tab.sync()).session_id, login.session_id);
    assert.equal((await tab.session()).status, 200, "decided locally during the outage");
    assert.equal((await tab.fetch("POST", "/api/logout")).status, 204);
    assert.deepEqual(await tab.jar(), []);
    assert.equal((await tab.session()).status, 401);
    await world.fault();
    await until("the revocation to reach Stytch", async () => !(await world.live(login.session_id)), 30);
  });
});

describe("a JWT that fits no cookie", () => {
  const large = { plan: "pro", filler: "x".repeat(3500) };

  test("the token alone carries the session on both sides", async (t) => {
    const world = await app.world(t);
    const login = await world.login({ claims: large });
    assert(login.session_jwt.length > 4096);
    const tab = await plain(t, world);
    const a = await tab.fetch("POST", "/api/hydrate", { session_token: login.session_token, session_jwt: login.session_jwt });
    assert.deepEqual([a.status, a.body.plan], [200, "pro"]);
    assert.deepEqual(names(await tab.jar()), ["stytch_session"]);

    await tab.page.goto(`${world.url}/`);
    await tab.settled();
    assert.equal((await tab.sync()).session_id, login.session_id);
    assert.deepEqual(names(await tab.jar()), ["stytch_session"], "the browser dropped what the SDK wrote");
    assert.equal(await tab.tokens(), null);
    const b = await tab.session();
    assert.deepEqual([b.status, b.body.session_id, b.body.plan], [200, login.session_id, "pro"]);
    assert.equal((await tab.session()).body.source, "local", "from the cache of session tokens");
  });

  test("an old JWT beside it goes once the server asked", async (t) => {
    const world = await app.world(t, { jwt_lifetime: 2 });
    const login = await world.login();
    const tab = await visit(t, world, shared(login));
    const old = (await tab.tokens()).session_jwt;
    // The back end gives the session large claims.
    const grown = await json("POST", `http://${world.api}/v1/sessions/authenticate`, { session_token: login.session_token, session_custom_claims: large }, {
      headers: { Authorization: `Basic ${btoa(`${world.project_id}:${world.secret}`)}` },
    });
    assert.equal(grown.status, 200);
    assert.equal(await tab.authenticate(), null);
    assert.equal((await tab.sync()).custom_claims.plan, "pro");
    assert.equal((await tab.tokens()).session_jwt, old, "dropped silently: the old JWT stays");

    await until("the JWT to expire", () => now() >= claims(old).exp);
    const a = await tab.session();
    assert.deepEqual([a.status, a.body.session_id, a.body.plan], [200, login.session_id, "pro"]);
    assert.deepEqual(names(await tab.jar()), ["stytch_session"]);
    assert.equal((await tab.session()).status, 200);
    assert.equal((await tab.sync()).session_id, login.session_id);
  });
});

describe("what the API's errors mean", () => {
  // Both sides meet the same error with the same stale cookies, each in a
  // browser of its own, so that neither can hide behind the other.
  async function meet(t, fault) {
    const world = await app.world(t);
    const login = await world.login();
    const sdk = await visit(t, world, shared(login));
    const server = await plain(t, world, { stytch_session: login.session_token, stytch_session_jwt: await world.mint(login.session_id, { age: 360 }) });
    await world.fault(fault);
    const failed = await sdk.authenticate();
    const answer = await server.session();
    return { world, login, sdk, server, failed, answer };
  }

  for (const [status, error_type] of [[404, "session_not_found"], [401, "user_unauthenticated"]]) {
    test(`${status} ${error_type}: both are logged out`, async (t) => {
      const { sdk, server, failed, answer } = await meet(t, { status, error_type });
      assert.deepEqual([failed.status_code, failed.error_type], [status, error_type]);
      assert.equal(await sdk.sync(), null);
      assert.deepEqual(await sdk.jar(), []);
      assert.deepEqual([answer.status, answer.challenge], [401, 'Bearer error="invalid_token"']);
      assert.deepEqual(await server.jar(), []);
      assert.deepEqual(await sdk.optional(), { state: "anonymous" });
    });
  }

  for (const fault of [
    { status: 429, retry_after: "1" }, { status: 429 }, { status: 500, error_type: "internal_server_error" }, { status: 502 }, { down: true },
  ]) {
    test(`${fault.status ?? "no answer"}${fault.retry_after ? " with Retry-After" : ""}: nobody is logged out`, async (t) => {
      const { world, login, sdk, server, failed, answer } = await meet(t, fault);
      assert.notEqual(failed, null);
      assert.equal((await sdk.sync()).session_id, login.session_id);
      assert.deepEqual(names(await sdk.jar()), ["stytch_session", "stytch_session_jwt"]);
      assert.deepEqual([answer.status, answer.challenge], [503, null]);
      assert.match(answer.retryAfter, /^[1-9][0-9]*$/);
      assert.deepEqual(await server.optional(), { state: "unavailable" });
      assert.deepEqual(names(await server.jar()), ["stytch_session", "stytch_session_jwt"]);

      await world.fault();
      assert.equal(await sdk.authenticate(), null);
      await until("the server to ask again", async () => (await server.session()).status === 200);
      readable(await server.jar());
    });
  }

  test("401 unauthorized_credentials: to the SDK the session is over, to the server its secret is wrong", async (t) => {
    const { world, login, sdk, server, answer } = await meet(t, { status: 401, error_type: "unauthorized_credentials" });
    assert.equal(await sdk.sync(), null);
    assert.deepEqual(await sdk.jar(), []);
    assert.equal((await sdk.session()).status, 401, "without cookies there is nobody, outage or not");
    assert.equal(answer.status, 503);
    assert.deepEqual(names(await server.jar()), ["stytch_session", "stytch_session_jwt"]);
    await world.fault();
    await until("the server to ask again", async () => (await server.session()).body.session_id === login.session_id);
  });
});

test("the SDK as it is, at Stytch's own address", async (t) => {
  const world = await app.world(t, { untouched: true });
  const own = await launch(`--host-resolver-rules=MAP test.stytch.com:443 ${world.api_tls}`, "--ignore-certificate-errors");
  t.after(() => own.close());
  const context = await own.newContext();
  const login = await world.login();
  await put(context, world.url, shared(login));
  const hosts = new Set();
  context.on("request", (r) => hosts.add(new URL(r.url()).host));
  const tab = await Tab.open(context, `${world.url}/`);
  await tab.settled();
  assert.equal((await tab.sync()).session_id, login.session_id);
  assert.equal(await tab.authenticate({ session_duration_minutes: 60 }), null);
  assert.equal((await tab.session()).body.session_id, login.session_id);
  assert.equal(await tab.revoke(), null);
  assert.equal((await tab.session()).status, 401);
  assert.deepEqual([...hosts].sort(), [`localhost:${world.port}`, "test.stytch.com"].sort());
  const calls = await world.calls();
  assert.deepEqual([calls.SDKBootstrap, calls.SDKAuthenticate, calls.SDKRevoke, calls.Authenticate, calls.Other], [1, 2, 1, 0, 0]);
  assert.deepEqual(tab.errors, []);
});
