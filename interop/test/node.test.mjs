// Stytch's real Node SDK against stytchtest over TLS: the same wire that the
// middleware calls, read by Stytch's own code.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { App, here, json, start } from "../lib/app.mjs";
import { until } from "../lib/browser.mjs";

let app;

before(async () => {
  app = await App.start();
  const { version } = JSON.parse(readFileSync(join(here, "node_modules/stytch/package.json")));
  console.log(`# stytch ${version}, Node ${process.version}`);
});
after(() => app?.stop());

// backEnd starts a Node back end of the world's project. It trusts the
// certificate: nothing about TLS is switched off.
async function backEnd(t, world, config = {}) {
  const program = await start(process.execPath, [join(here, "lib/node-client.mjs")], {
    NODE_EXTRA_CA_CERTS: app.certificate,
    CLIENT: JSON.stringify({ project_id: world.project_id, secret: world.secret, custom_base_url: `https://${world.api_tls}`, ...config }),
  });
  t.after(() => program.stop());
  assert.equal(await program.nextLine(), "ready");
  const ask = async (call, args) => {
    program.child.stdin.write(`${JSON.stringify({ call, args })}\n`);
    return JSON.parse(await program.nextLine());
  };
  return {
    // ok and fails assert how the SDK's promise ended.
    ok: async (call, args) => {
      const { value, error } = await ask(call, args);
      assert.equal(error, undefined);
      return value;
    },
    fails: async (call, args) => {
      const { value, error } = await ask(call, args);
      assert.equal(value, undefined);
      return error;
    },
  };
}

const stytchError = ({ kind, status_code, error_type }) => [kind, status_code, error_type];

test("authenticate, by token and by JWT", async (t) => {
  const world = await app.world(t);
  const login = await world.login({ factors: ["email", "sms"], claims: { plan: "pro" } });
  const node = await backEnd(t, world);
  for (const args of [{ session_token: login.session_token }, { session_jwt: login.session_jwt }, { session_token: login.session_token, session_duration_minutes: 120 }]) {
    const answer = await node.ok("authenticate", args);
    assert.equal(answer.status_code, 200);
    assert.equal(answer.session.session_id, login.session_id);
    assert.equal(answer.session.user_id, login.user_id);
    assert.equal(answer.user.user_id, login.user_id);
    assert.equal(answer.session_token, login.session_token);
    assert.deepEqual(answer.session.authentication_factors.map((f) => f.delivery_method), ["email", "sms"]);
    assert.deepEqual(answer.session.custom_claims, { plan: "pro" });
    const left = Date.parse(answer.session.expires_at) - Date.now();
    assert(args.session_duration_minutes ? left > 115 * 60e3 : left < 61 * 60e3, `${left} ms left`);
    // What the API gave the Go side takes.
    const server = await json("GET", `${world.url}/api/session`, undefined, { headers: { Authorization: `Bearer ${answer.session_jwt}` } });
    assert.deepEqual([server.status, server.body.session_id, server.body.source, server.body.plan], [200, login.session_id, "local", "pro"]);
  }
  const sessions = await node.ok("get", { user_id: login.user_id });
  assert.deepEqual(sessions.sessions.map((s) => s.session_id), [login.session_id]);
  const calls = await world.calls();
  assert.deepEqual([calls.Authenticate, calls.List, calls.Other], [3, 1, 0], "the Go side asked nothing");
});

test("a JWT is verified locally, with the keys served and as the Go side does", async (t) => {
  const world = await app.world(t);
  const login = await world.login({ factors: ["email", "totp"], claims: { plan: "pro" } });
  const node = await backEnd(t, world);
  const session = await node.ok("authenticateJwtLocal", { session_jwt: login.session_jwt });
  assert.equal(session.session_id, login.session_id);
  assert.equal(session.user_id, login.user_id);
  assert.deepEqual(session.authentication_factors.map((f) => f.type), ["magic_link", "totp"]);
  assert.deepEqual(session.custom_claims, { plan: "pro" });
  assert.deepEqual(session.roles, ["stytch_user"]);
  assert(Date.parse(session.expires_at) > Date.now());
  const before = await world.calls();
  assert.equal(before.Authenticate, 0);
  const again = await node.ok("authenticateJwt", { session_jwt: login.session_jwt });
  assert.equal(again.session_jwt, login.session_jwt);
  assert.deepEqual(await world.calls(), before, "no call for a good JWT");

  const stale = await world.mint(login.session_id, { age: 360 });
  assert.equal((await node.fails("authenticateJwtLocal", { session_jwt: stale })).code, "jwt_invalid");
  const old = await world.mint(login.session_id, { age: 100 });
  assert.equal((await node.fails("authenticateJwtLocal", { session_jwt: old, max_token_age_seconds: 60 })).code, "jwt_too_old");
  const remote = await node.ok("authenticateJwt", { session_jwt: stale });
  assert.equal(remote.session.session_id, login.session_id);
  assert.equal((await world.calls()).Authenticate, 1, "exchanged by the API");
  const forged = await world.mint(login.session_id, { forged: true });
  assert.equal((await node.fails("authenticateJwtLocal", { session_jwt: forged })).code, "jwt_invalid");
  const server = await json("GET", `${world.url}/api/session`, undefined, { headers: { Authorization: `Bearer ${forged}` } });
  assert.equal(server.status, 401);
  assert.equal((await world.calls()).Authenticate, 1, "nobody asked about the forged one");
});

test("revoke, by each argument, is seen by the Go side", async (t) => {
  const world = await app.world(t);
  const node = await backEnd(t, world);
  for (const by of ["session_id", "session_token", "session_jwt"]) {
    const login = await world.login();
    const ask = (path) => json("GET", `${world.url}${path}`, undefined, { headers: { Authorization: `Bearer ${login.session_token}` } });
    assert.equal((await ask("/api/session")).status, 200);
    const answer = await node.ok("revoke", { [by]: login[by] });
    assert.equal(answer.status_code, 200);
    assert.equal(await world.live(login.session_id), false);
    assert.equal((await ask("/api/fresh")).status, 401, by);
    assert.equal((await ask("/api/session")).status, 401, by);
    assert.deepEqual(stytchError(await node.fails("authenticate", { session_token: login.session_token })), ["StytchError", 404, "session_not_found"]);
  }
});

test("the key set", async (t) => {
  const world = await app.world(t);
  const node = await backEnd(t, world);
  const { keys, status_code } = await node.ok("getJWKS", { project_id: world.project_id });
  assert.equal(status_code, 200);
  assert.equal(keys.length, 1);
  const { kty, use, key_ops, alg, e } = keys[0];
  assert.deepEqual({ kty, use, key_ops, alg, e }, { kty: "RSA", use: "sig", key_ops: ["verify"], alg: "RS256", e: "AQAB" });
  assert.match(keys[0].kid, /^jwk-test-/);
  assert.equal(keys[0].x5c.length, 1);
  assert.deepEqual(stytchError(await node.fails("getJWKS", { project_id: "project-test-other" })), ["StytchError", 404, "project_not_found"]);
});

describe("errors", () => {
  test("of requests", async (t) => {
    const world = await app.world(t);
    const login = await world.login();
    const node = await backEnd(t, world);
    for (const [call, args, status, type] of [
      ["authenticate", {}, 400, "no_session_arguments"],
      ["authenticate", { session_token: login.session_token, session_jwt: login.session_jwt }, 400, "too_many_session_arguments"],
      ["authenticate", { session_token: "short" }, 400, "invalid_session_token"],
      ["authenticate", { session_jwt: "a.b.c" }, 400, "unable_to_parse_session_jwt"],
      ["authenticate", { session_token: login.session_token, session_duration_minutes: 1 }, 400, "invalid_session_duration"],
      ["revoke", { session_id: "session-test-unknown" }, 404, "session_not_found"],
      ["magicLink", { email: "nobody" }, 400, "invalid_email"],
    ]) {
      const error = await node.fails(call, args);
      assert.deepEqual(stytchError(error), ["StytchError", status, type]);
      assert.match(error.message, /request_id/);
    }
  });

  test("of the secret", async (t) => {
    const world = await app.world(t);
    const login = await world.login();
    const node = await backEnd(t, world, { secret: "secret-test-wrong" });
    assert.deepEqual(stytchError(await node.fails("authenticate", { session_token: login.session_token })), ["StytchError", 401, "unauthorized_credentials"]);
  });

  test("of the moment, which the Go side answers with 503", async (t) => {
    const world = await app.world(t);
    const login = await world.login();
    const node = await backEnd(t, world);
    const ask = () => json("GET", `${world.url}/api/session`, undefined, { headers: { Authorization: `Bearer ${login.session_token}` } });
    for (const [fault, want] of [
      [{ status: 429 }, ["StytchError", 429, "too_many_requests"]],
      [{ status: 500, error_type: "internal_server_error" }, ["StytchError", 500, "internal_server_error"]],
      [{ status: 502 }, ["RequestError", undefined, undefined]],
      [{ down: true }, ["RequestError", undefined, undefined]],
    ]) {
      await world.fault(fault);
      assert.deepEqual(stytchError(await node.fails("authenticate", { session_token: login.session_token })), want);
      const server = await ask();
      assert.equal(server.status, 503);
      assert.match(server.headers.get("Retry-After"), /^[1-9]/);
      assert.deepEqual(server.headers.getSetCookie(), []);
    }
    await world.fault();
    await node.ok("authenticate", { session_token: login.session_token });
    await until("the server to ask again", async () => (await ask()).status === 200);
  });
});
