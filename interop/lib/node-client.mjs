// A Node back end with Stytch's SDK, in a process of its own because a
// certificate is trusted at start. It reads one call per line, as JSON, and
// answers each with one line: {value} or {error}.
import { createInterface } from "node:readline";
import { Client } from "stytch";

const client = new Client(JSON.parse(process.env.CLIENT));
const calls = {
  authenticate: (a) => client.sessions.authenticate(a),
  authenticateJwt: (a) => client.sessions.authenticateJwt(a),
  authenticateJwtLocal: (a) => client.sessions.authenticateJwtLocal(a),
  revoke: (a) => client.sessions.revoke(a),
  get: (a) => client.sessions.get(a),
  getJWKS: (a) => client.sessions.getJWKS(a),
  magicLink: (a) => client.magicLinks.email.loginOrCreate(a),
};

console.log("ready");
for await (const line of createInterface({ input: process.stdin })) {
  const { call, args } = JSON.parse(line);
  const answer = await calls[call](args).then(
    (value) => ({ value }),
    (e) => ({ error: { kind: e.constructor.name, code: e.code, status_code: e.status_code, error_type: e.error_type, message: e.message } }),
  );
  console.log(JSON.stringify(answer));
}
