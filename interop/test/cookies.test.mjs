// Cookies of both forms side by side, and private ones beside the SDK's, in a
// real browser on names of its own.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { App } from "../lib/app.mjs";
import { Tab, claims, launch, names, shared, until, value } from "../lib/browser.mjs";

let app, browser;

before(async () => {
  app = await App.start();
  // shop.test and its subdomains are this machine.
  browser = await launch("--host-resolver-rules=MAP *.shop.test 127.0.0.1, MAP shop.test 127.0.0.1", "--ignore-certificate-errors");
});
after(async () => {
  await browser?.close();
  await app?.stop();
});

describe("host-only and Domain cookies of one name", () => {
  const domain = { domain: "shop.test", tls: true, options: { cookieOptions: { domain: "shop.test", availableToSubdomains: true } } };

  // enter opens a browser that holds a host-only pair first and then a pair
  // for the whole domain, either of which may be missing.
  async function enter(t, world, hostOnly, wide) {
    const context = await browser.newContext();
    t.after(() => context.close());
    const tab = await Tab.open(context, `https://app.shop.test:${world.port}/plain`);
    for (const [pair, attributes] of [[hostOnly, ""], [wide, "; domain=shop.test"]]) {
      for (const [name, v] of Object.entries(pair)) {
        await tab.page.evaluate((c) => { document.cookie = c; }, `${name}=${v}; path=/; secure; samesite=lax${attributes}`);
      }
    }
    return tab;
  }
  const forms = async (tab) => (await tab.jar()).map((c) => `${c.domain} ${c.name}`).sort();
  const wideForms = [".shop.test stytch_session", ".shop.test stytch_session_jwt"];

  test("the server receives both, trusts neither, and leaves them alone", async (t) => {
    const world = await app.world(t, domain);
    const [stale, good] = [await world.login(), await world.login()];
    const tab = await enter(t, world, shared(stale), shared(good));
    assert.deepEqual((await tab.sent()).stytch_session, [stale.session_token, good.session_token], "the older one first");
    const a = await tab.session();
    assert.deepEqual([a.status, a.challenge], [401, 'Bearer error="invalid_token"']);
    assert.deepEqual(await tab.optional(), { state: "anonymous" });
    assert.equal((await tab.jar()).length, 4);
    assert.equal((await world.calls()).Authenticate, 0);
  });

  test("two cookies of one value are no contradiction", async (t) => {
    const world = await app.world(t, domain);
    const login = await world.login();
    const tab = await enter(t, world, shared(login), shared(login));
    assert.equal((await tab.session()).body.session_id, login.session_id);
  });

  test("a back-end login leaves one form, which the SDK adopts on every subdomain", async (t) => {
    const world = await app.world(t, domain);
    const [stale, good] = [await world.login(), await world.login()];
    const tab = await enter(t, world, shared(stale), shared(stale));
    const a = await tab.fetch("POST", "/api/hydrate", { session_token: good.session_token, session_jwt: good.session_jwt });
    assert.deepEqual([a.status, a.body.session_id], [200, good.session_id]);
    assert.deepEqual(await forms(tab), wideForms);
    for (const c of await tab.jar()) assert.deepEqual([c.secure, c.httpOnly, c.sameSite], [true, false, "Lax"]);
    assert.deepEqual((await tab.sent()).stytch_session, [good.session_token]);

    const elsewhere = await Tab.open(tab.page.context(), `https://www.shop.test:${world.port}/`);
    await elsewhere.settled();
    assert.equal((await elsewhere.sync()).session_id, good.session_id);
    assert.deepEqual(await forms(elsewhere), wideForms, "the SDK wrote over the same cookies");
    assert.equal((await elsewhere.session()).body.session_id, good.session_id);
    assert.deepEqual(elsewhere.errors, []);
  });

  test("the SDK tidies its own pair up, and the server goes on", async (t) => {
    const world = await app.world(t, domain);
    const login = await world.login();
    const old = { ...login, session_jwt: await world.mint(login.session_id, { age: 200 }) };
    const tab = await enter(t, world, shared(old), shared(login));
    assert.equal((await tab.session()).status, 401, "two different JWTs");
    await tab.page.goto(`https://app.shop.test:${world.port}/`);
    await tab.settled();
    assert.equal((await tab.sync()).session_id, login.session_id);
    assert.deepEqual(await forms(tab), wideForms);
    assert.equal((await tab.session()).body.session_id, login.session_id);
  });

  test("a logout on the server clears both forms and ends both sessions", async (t) => {
    const world = await app.world(t, domain);
    const [first, second] = [await world.login(), await world.login()];
    const tab = await enter(t, world, shared(first), shared(second));
    assert.equal((await tab.fetch("POST", "/api/logout")).status, 204);
    assert.deepEqual(await tab.jar(), []);
    assert.deepEqual([await world.live(first.session_id), await world.live(second.session_id)], [false, false]);
    assert.equal((await tab.session()).challenge, 'Bearer realm="session"');
  });

  test("a logout in the SDK clears what the server wrote for the domain", async (t) => {
    const world = await app.world(t, domain);
    const login = await world.login();
    const tab = await enter(t, world, {}, {});
    await tab.fetch("POST", "/api/hydrate", { session_token: login.session_token, session_jwt: login.session_jwt });
    assert.deepEqual(await forms(tab), wideForms);
    await tab.page.goto(`https://app.shop.test:${world.port}/`);
    await tab.settled();
    assert.equal(await tab.revoke(), null);
    assert.deepEqual(await tab.jar(), []);
    assert.equal((await tab.session()).status, 401);
  });

  test("without Domain the server's cookies stay on their host", async (t) => {
    const world = await app.world(t, { tls: true });
    const login = await world.login();
    const tab = await enter(t, world, {}, {});
    await tab.fetch("POST", "/api/hydrate", { session_token: login.session_token });
    assert.deepEqual(await forms(tab), ["app.shop.test stytch_session", "app.shop.test stytch_session_jwt"]);
    const elsewhere = await Tab.open(tab.page.context(), `https://www.shop.test:${world.port}/plain`);
    assert.equal((await elsewhere.session()).status, 401);
    assert.equal((await tab.session()).status, 200);
  });
});

for (const sealed of [false, true]) {
  describe(`private cookies${sealed ? ", sealed," : ""} beside the SDK`, () => {
    const names2 = ["__Host-stytch_session", "__Host-stytch_session_jwt"];

    async function enter(t) {
      const world = await app.world(t, { private: true, sealed, tls: true });
      const login = await world.login();
      const context = await browser.newContext();
      t.after(() => context.close());
      const tab = await Tab.open(context, `https://app.shop.test:${world.port}/plain`);
      const a = await tab.fetch("POST", "/api/hydrate", { session_token: login.session_token, session_jwt: login.session_jwt });
      assert.deepEqual([a.status, a.body.session_id], [200, login.session_id]);
      return { world, login, tab };
    }

    test("the SDK neither sees nor touches them", async (t) => {
      const { world, login, tab } = await enter(t);
      const jar = await tab.jar();
      assert.deepEqual(names(jar), names2);
      for (const c of jar) assert.deepEqual([c.httpOnly, c.secure, c.sameSite, c.path, c.domain], [true, true, "Lax", "/", "app.shop.test"]);
      assert.equal(value(jar, names2[0]) === login.session_token, !sealed);
      assert.equal(await tab.page.evaluate(() => document.cookie), "");

      await tab.page.goto(`https://app.shop.test:${world.port}/`);
      await tab.settled();
      assert.equal(await tab.sync(), null);
      assert.equal(await tab.tokens(), null);
      assert.deepEqual(await tab.jar(), jar);
      assert.equal((await tab.session()).body.session_id, login.session_id);
    });

    test("each side has a session of its own", async (t) => {
      const { world, login, tab } = await enter(t);
      const other = await world.login();
      await tab.page.goto(`https://app.shop.test:${world.port}/`);
      await tab.settled();
      await tab.update({ session_token: other.session_token, session_jwt: other.session_jwt });
      assert.equal(await tab.authenticate(), null);
      assert.equal((await tab.sync()).session_id, other.session_id);
      assert.equal((await tab.jar()).length, 4);
      assert.equal((await tab.session()).body.session_id, login.session_id, "the SDK's cookies are not read");

      assert.equal(await tab.revoke(), null);
      assert.deepEqual(names(await tab.jar()), names2);
      assert.equal((await tab.session()).body.session_id, login.session_id);
      assert.deepEqual([await world.live(login.session_id), await world.live(other.session_id)], [true, false]);

      assert.equal((await tab.fetch("POST", "/api/logout")).status, 204);
      assert.deepEqual(await tab.jar(), []);
      assert.equal((await tab.session()).status, 401);
      assert.equal(await world.live(login.session_id), false);
    });

    test("one session on both sides: the SDK's logout reaches the server when it asks", async (t) => {
      const { world, login, tab } = await enter(t);
      await tab.page.goto(`https://app.shop.test:${world.port}/`);
      await tab.settled();
      await tab.update({ session_token: login.session_token, session_jwt: login.session_jwt });
      assert.equal(await tab.revoke(), null);
      assert.deepEqual(names(await tab.jar()), names2, "out of the SDK's reach");
      assert.equal((await tab.session()).status, 200, "until the JWT is stale");
      assert.equal((await tab.fetch("GET", "/api/fresh")).status, 401);
      assert.deepEqual(await tab.jar(), []);
      assert.equal((await tab.session()).status, 401);
    });

    test("a stale JWT is renewed in private", async (t) => {
      const world = await app.world(t, { private: true, sealed, tls: true, jwt_lifetime: 2 });
      const login = await world.login();
      const context = await browser.newContext();
      t.after(() => context.close());
      const tab = await Tab.open(context, `https://app.shop.test:${world.port}/plain`);
      await tab.fetch("POST", "/api/hydrate", { session_token: login.session_token, session_jwt: login.session_jwt });
      const before = value(await tab.jar(), names2[1]);
      if (!sealed) assert.equal(claims(before).sub, login.user_id);
      const a = await until("the server to renew it", async () => {
        const a = await tab.session();
        return a.body.source === "remote" && a;
      });
      assert.deepEqual([a.status, a.body.session_id], [200, login.session_id]);
      assert.notEqual(value(await tab.jar(), names2[1]), before);
      assert.deepEqual(names(await tab.jar()), names2);
    });
  });
}
