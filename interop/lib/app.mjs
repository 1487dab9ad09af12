// The Go side: built once per run, started once per test file.
import assert from "node:assert/strict";
import { spawn, execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export const here = fileURLToPath(new URL("..", import.meta.url));

// build compiles a Go program into a folder of its own and returns its path.
export function build(dir, pkg, cwd = here) {
  const file = join(dir, pkg.split("/").pop());
  execFileSync("go", ["build", "-o", file, pkg], { cwd, stdio: ["ignore", "inherit", "inherit"] });
  return file;
}

// scratch makes a folder that remove() removes.
export function scratch() {
  const dir = mkdtempSync(join(tmpdir(), "stytchware-interop-"));
  return { dir, remove: () => rmSync(dir, { recursive: true, force: true }) };
}

// start runs a program until stop() and returns the first line of its output.
export async function start(file, args = [], env = {}) {
  const child = spawn(file, args, { stdio: ["pipe", "pipe", "inherit"], env: { ...process.env, ...env } });
  const ended = new Promise((resolve) => child.once("exit", (code, signal) => resolve({ code, signal })));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    child,
    nextLine: async () => {
      const { value, done } = await lines.next();
      assert(!done, `${file} ended before it said where it is`);
      return value;
    },
    stop: async (signal) => {
      if (signal) child.kill(signal);
      child.stdin.end();
      return ended;
    },
  };
}

export async function json(method, url, body, init = {}) {
  const res = await fetch(url, {
    method,
    ...init,
    headers: { ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...init.headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await res.text();
  return { status: res.status, headers: res.headers, body: text && /json/.test(res.headers.get("Content-Type") ?? "") ? JSON.parse(text) : text };
}

// App is the running Go program.
export class App {
  static async start() {
    const app = new App();
    app.scratch = scratch();
    app.certificate = join(app.scratch.dir, "certificate.pem");
    const file = build(app.scratch.dir, "./app");
    app.program = await start(file, ["-sdk", join(here, "node_modules/@stytch/vanilla-js/dist/iife"), "-certificate", app.certificate]);
    app.control = JSON.parse(await app.program.nextLine()).control;
    return app;
  }

  async stop() {
    await this.program.stop();
    this.scratch.remove();
  }

  // world makes a project and a site in front of it; see settings in world/.
  async world(t, settings = {}) {
    const made = await json("POST", `${this.control}/worlds`, settings);
    assert.equal(made.status, 200, made.body);
    const world = Object.assign(new World(), made.body, { control: `${this.control}/worlds/${made.body.id}` });
    t.after(() => json("DELETE", world.control));
    return world;
  }
}

class World {
  async #call(method, what, body) {
    const { status, body: answer } = await json(method, `${this.control}/${what}`, body);
    assert.equal(status, 200, `${what}: ${answer}`);
    return answer;
  }

  get port() { return this.site.split(":")[1]; }
  get url() { return `http://localhost:${this.port}`; }

  calls() { return this.#call("GET", "calls"); }
  login(settings = {}) { return this.#call("POST", "login", settings); }
  async change(session_id, what) { return (await this.#call("POST", "change", { session_id, what })).live; }
  live(session_id) { return this.change(session_id, "look"); }
  async mint(session_id, settings = {}) { return (await this.#call("POST", "mint", { session_id, ...settings })).session_jwt; }
  fault(settings) { return this.#call("POST", "fault", settings ?? {}); }
}
