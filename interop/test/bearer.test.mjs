// The way in of a mobile app: @stytch/react-native keeps the tokens itself,
// and its documents send them as a bearer token or in headers of one's own.
// No cookie is sent, and none may come back.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { App, json } from "../lib/app.mjs";

let app;

before(async () => { app = await App.start(); });
after(() => app?.stop());

// ask is a request of the app, which keeps no cookies.
async function ask(world, method, path, headers, body) {
  const a = await json(method, `${world.url}${path}`, body, { headers });
  assert.deepEqual(a.headers.getSetCookie(), [], "a client without cookies is given none");
  assert.match(a.headers.get("Vary") ?? "Authorization", /Authorization/);
  return a;
}
const bearer = (token) => ({ Authorization: `Bearer ${token}` });

describe("Authorization: Bearer", () => {
  test("a JWT is decided locally", async (t) => {
    const world = await app.world(t);
    const login = await world.login({ factors: ["email", "sms"] });
    for (let i = 0; i < 3; i++) {
      const a = await ask(world, "GET", "/api/session", bearer(login.session_jwt));
      assert.deepEqual([a.status, a.body.session_id, a.body.user_id, a.body.source], [200, login.session_id, login.user_id, "local"]);
    }
    assert.equal((await ask(world, "GET", "/api/mfa", bearer(login.session_jwt))).status, 200);
    const calls = await world.calls();
    assert.deepEqual([calls.Authenticate, calls.KeySet], [0, 1]);
  });

  test("an opaque token is asked about once, and then from the cache", async (t) => {
    const world = await app.world(t);
    const login = await world.login();
    const first = await ask(world, "GET", "/api/session", bearer(login.session_token));
    assert.deepEqual([first.status, first.body.session_id, first.body.source], [200, login.session_id, "remote"]);
    const many = await Promise.all(Array.from({ length: 20 }, () => ask(world, "GET", "/api/session", bearer(login.session_token))));
    assert.deepEqual(new Set(many.map((a) => `${a.status} ${a.body.source}`)), new Set(["200 local"]));
    assert.equal((await world.calls()).Authenticate, 1);
  });

  test("a stale JWT is exchanged once for all that carry it", async (t) => {
    const world = await app.world(t);
    const login = await world.login();
    const stale = await world.mint(login.session_id, { age: 360 });
    const many = await Promise.all(Array.from({ length: 20 }, () => ask(world, "GET", "/api/session", bearer(stale))));
    assert.deepEqual(new Set(many.map((a) => `${a.status} ${a.body.session_id}`)), new Set([`200 ${login.session_id}`]));
    assert.equal((await world.calls()).Authenticate, 1);
  });

  test("refresh and logout, with either token", async (t) => {
    const world = await app.world(t);
    for (const kind of ["session_jwt", "session_token"]) {
      const login = await world.login();
      assert.equal((await ask(world, "POST", "/api/refresh", bearer(login[kind]))).body.session_id, login.session_id);
      assert.equal((await ask(world, "POST", "/api/logout", bearer(login[kind]))).status, 204);
      assert.equal(await world.live(login.session_id), false, kind);
      const a = await ask(world, "GET", "/api/session", bearer(login[kind]));
      assert.deepEqual([a.status, a.headers.get("WWW-Authenticate")], [401, 'Bearer error="invalid_token"'], kind);
    }
  });

  test("an outage is a 503 for what cannot be decided locally", async (t) => {
    const world = await app.world(t);
    const login = await world.login();
    assert.equal((await ask(world, "GET", "/api/session", bearer(login.session_jwt))).status, 200);
    await world.fault({ down: true });
    assert.equal((await ask(world, "GET", "/api/session", bearer(login.session_jwt))).status, 200);
    const a = await ask(world, "GET", "/api/session", bearer(login.session_token));
    assert.deepEqual([a.status, a.headers.get("WWW-Authenticate")], [503, null]);
    assert.match(a.headers.get("Retry-After"), /^[1-9]/);
  });

  test("what is no credential does not fall through to cookies", async (t) => {
    const world = await app.world(t);
    const login = await world.login();
    const cookie = { Cookie: `stytch_session=${login.session_token}; stytch_session_jwt=${login.session_jwt}` };
    assert.equal((await ask(world, "GET", "/api/session", cookie)).status, 200);
    // Template strings of a front end that has no token yet.
    for (const value of ["Bearer undefined", "Bearer null", "Bearer", "Bearer  ", "Bearer a.b", `bearer ${login.session_jwt}x`]) {
      const a = await ask(world, "GET", "/api/session", { ...cookie, Authorization: value });
      assert.deepEqual([a.status, a.headers.get("WWW-Authenticate")], [401, 'Bearer error="invalid_token"'], value);
    }
    assert.equal((await ask(world, "GET", "/api/session", { ...cookie, Authorization: "Basic dTpw" })).status, 200, "another scheme is not ours");
    assert.equal((await world.calls()).Authenticate, 0);
  });
});

describe("X-Stytch-Session-Token and X-Stytch-Session-Jwt", () => {
  test("are read where they are configured", async (t) => {
    const world = await app.world(t, { headers: true });
    const login = await world.login();
    const jwt = await ask(world, "GET", "/api/session", { "X-Stytch-Session-Jwt": login.session_jwt });
    assert.deepEqual([jwt.status, jwt.body.session_id, jwt.body.source], [200, login.session_id, "local"]);
    const token = await ask(world, "GET", "/api/session", { "X-Stytch-Session-Token": login.session_token });
    assert.deepEqual([token.status, token.body.session_id, token.body.source], [200, login.session_id, "remote"]);
    const stale = await world.mint(login.session_id, { age: 360 });
    const both = await ask(world, "GET", "/api/session", { "X-Stytch-Session-Token": login.session_token, "X-Stytch-Session-Jwt": stale });
    assert.deepEqual([both.status, both.body.session_id], [200, login.session_id]);
    const other = await world.login();
    const refused = await ask(world, "GET", "/api/session", { "X-Stytch-Session-Token": other.session_token, "X-Stytch-Session-Jwt": stale });
    assert.equal(refused.status, 401, "two users");
    assert.equal((await ask(world, "GET", "/api/session", { "X-Stytch-Session-Jwt": "undefined" })).status, 401);
  });

  test("and nowhere else", async (t) => {
    const world = await app.world(t);
    const login = await world.login();
    const a = await ask(world, "GET", "/api/session", { "X-Stytch-Session-Token": login.session_token, "X-Stytch-Session-Jwt": login.session_jwt });
    assert.deepEqual([a.status, a.headers.get("WWW-Authenticate")], [401, 'Bearer realm="session"']);
  });
});
