// The page's script. It only shows what the server says: no token passes
// through it except the two a person pastes into the hydrate form.

const $ = (id) => document.getElementById(id);
const { mode, returnTo } = document.body.dataset;
const demo = mode === "demo";

let state = "unknown"; // "authenticated", "anonymous", "unavailable", "offline"
let session = null; //    the last session seen, as /api/session shows it
let phoneID = ""; //      names the SMS code that is under way
let stream = null; //     the EventSource on /api/events
let retry = 0; //         timer

// ---- talking to the server -------------------------------------------------

async function call(method, path, body) {
  const options = { method, headers: { Accept: "application/json" }, cache: "no-store" };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  try {
    const answer = await fetch(path, options);
    const isJSON = /json/.test(answer.headers.get("Content-Type") ?? "");
    return {
      status: answer.status,
      json: isJSON ? await answer.json() : null,
      challenge: answer.headers.get("WWW-Authenticate") ?? "",
      retryAfter: answer.headers.get("Retry-After") ?? "",
    };
  } catch {
    return { status: 0, json: null, challenge: "", retryAfter: "" };
  }
}

// explain puts an answer into words: the kind colours it, the rest is read.
function explain(a, verb) {
  if (a.status >= 200 && a.status < 300) {
    if (!a.json?.session_id) return { kind: "good", title: verb, detail: "" };
    return { kind: "good", title: `${verb}, ${decidedBy(a.json)}`, detail: `verified ${ago(a.json.verified_at)}` };
  }
  const error = /error="([^"]*)"/.exec(a.challenge)?.[1];
  const maxAge = /max_age="?(\d+)/.exec(a.challenge)?.[1];
  const raw = [String(a.status), a.json?.title, a.challenge && `WWW-Authenticate: ${a.challenge}`, a.retryAfter && `Retry-After: ${a.retryAfter}`].filter(Boolean).join(" · ");
  if (a.status === 0) return { kind: "bad", title: "The server does not answer", detail: "" };
  if (a.status === 503) return { kind: "warn", title: "Cannot be decided: Stytch is unavailable", detail: raw };
  if (a.status === 401 && error === "insufficient_user_authentication") {
    return { kind: "bad", title: maxAge ? `Refused: needs a second factor from the last ${maxAge} s` : "Refused: needs a second factor", detail: raw };
  }
  if (a.status === 401) return { kind: "bad", title: "Refused: no valid session", detail: raw };
  if (a.status === 403) return { kind: "bad", title: "Refused: request from another site", detail: raw };
  return { kind: "bad", title: a.json?.detail ?? a.json?.title ?? "Refused", detail: raw };
}

const decidedBy = (s) => (s.from_cache ? "decided locally" : "Stytch was asked");

// ---- what happened -----------------------------------------------------------

function note(what, kind = "", detail = "") {
  const now = new Date();
  const item = make("li", {}, [
    make("time", { dateTime: now.toISOString(), textContent: now.toLocaleTimeString([], { hour12: false }) }),
    make("span", { className: `what ${kind}`, textContent: what }),
    detail ? make("span", { className: "detail", textContent: detail }) : null,
  ]);
  $("activity").prepend(item);
  while ($("activity").children.length > 60) $("activity").lastChild.remove();
  $("activity-empty").hidden = true;
}

// noteAnswer logs one answer under the name of the action; verb is what it
// says if all went well.
function noteAnswer(action, a, verb = "Done") {
  const e = explain(a, verb);
  note(`${action}: ${e.title[0].toLowerCase()}${e.title.slice(1)}`, e.kind, e.detail);
}

// refused shows beside a form why it did not do what it says, and logs it.
function refused(form, action, a) {
  const e = explain(a, "Done");
  const outcome = document.querySelector(`.outcome[data-of="${form.id}"]`);
  outcome.className = `outcome ${e.kind}`;
  outcome.replaceChildren(e.title);
  noteAnswer(action, a);
}

const clearForm = (form) => clearOutcome(document.querySelector(`.outcome[data-of="${form.id}"]`));

function make(tag, properties = {}, children = []) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter(Boolean));
  return element;
}

// ---- showing the session -----------------------------------------------------

const names = { authenticated: ["good", "Logged in"], anonymous: ["", "Logged out"], unavailable: ["warn", "Stytch unavailable"], offline: ["warn", "Server unreachable"] };

function show(body) {
  const before = state;
  state = body.state;
  session = state === "authenticated" ? body : null;

  const [kind, name] = names[state];
  if ($("pill").textContent !== name) $("pill").textContent = name;
  $("pill").className = `pill ${kind}`;
  $("when-authenticated").hidden = state !== "authenticated";
  $("when-anonymous").hidden = state !== "anonymous";
  $("when-unavailable").hidden = state !== "unavailable" && state !== "offline";
  $("source").hidden = !session;
  for (const button of document.querySelectorAll("[data-needs-session]")) button.disabled = !session;

  if (session) {
    $("source").textContent = session.from_cache ? "local" : "Stytch asked";
    $("source").className = `source ${session.from_cache ? "" : "remote"}`;
    $("user").textContent = session.user_id;
    $("sid").textContent = session.session_id;
    $("roles").textContent = session.roles.join(", ") || "none";
    $("claims").textContent = JSON.stringify(session.custom_claims);
    $("factors").replaceChildren(...session.factors.map((f) => make("li", {}, [
      make("span", { textContent: readable(f.type) }),
      make("span", { className: "soft", textContent: `by ${readable(f.delivery_method)}` }),
      make("span", { className: `class ${f.class}`, textContent: f.class === "none" ? "does not count" : f.class }),
      make("span", { className: "age", textContent: "" }),
    ])));
    if (!session.factors.length) $("factors").append(make("li", { className: "soft", textContent: "none" }));
    tick();
  } else {
    resetCode();
  }
  if (state !== before) {
    for (const outcome of document.querySelectorAll(".outcome")) clearOutcome(outcome);
  }
  showSent();
  follow(before);
}

// showSent says why a guard sent the person here, and where they go next.
function showSent() {
  const sent = $("sent");
  if (!sent || state === "unknown") return;
  sent.hidden = false;
  if (state === "authenticated") {
    sent.replaceChildren("You came from ", make("code", { textContent: returnTo }), ", which asked for more than this session had. Step up below, or ", make("a", { href: returnTo, textContent: "try it again" }), ".");
  } else {
    sent.replaceChildren("You came from ", make("code", { textContent: returnTo }), ". Log in to go on there.");
  }
}

const readable = (name) => name.replaceAll("_", " ") || "unknown";

function ago(time) {
  const t = Date.parse(time);
  return Number.isNaN(t) ? "at an unknown time" : `${span(Date.now() - t)} ago`;
}

function span(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 90) return `${s} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  return s < 129600 ? `${Math.round(s / 3600)} h` : `${Math.round(s / 86400)} days`;
}

// tick keeps the ages and the time left up to date.
function tick() {
  if (!session) return;
  $("verified").textContent = `${ago(session.verified_at)}, ${decidedBy(session)}`;
  $("expires").textContent = `in ${span(Date.parse(session.expires_at) - Date.now())}`;
  const ages = $("factors").querySelectorAll(".age");
  session.factors.forEach((f, i) => { if (ages[i]) ages[i].textContent = f.last_authenticated_at ? ago(f.last_authenticated_at) : ""; });
}
setInterval(tick, 1000);

// ---- staying up to date --------------------------------------------------------

async function look(reason) {
  const a = await call("GET", "/api/optional");
  const before = state;
  if (a.status !== 200) show({ state: "offline" });
  else show(a.json);
  if (reason && state !== before) {
    const said = { anonymous: "you are logged out", authenticated: "you are logged in", unavailable: "Stytch cannot be asked", offline: "the server does not answer" };
    note(`${reason}: ${said[state]}`, names[state][0]);
  }
}

// follow opens the event stream while there is a session. The server ends it
// when the session ends, whoever ended it: this tab, another one, or time.
function follow(before) {
  clearTimeout(retry);
  if (state === "authenticated") {
    if (stream) return;
    const mine = (stream = new EventSource("/api/events"));
    mine.addEventListener("session", (event) => { if (stream === mine) show(JSON.parse(event.data)); });
    mine.onerror = () => {
      if (stream !== mine) return;
      unfollow();
      retry = setTimeout(() => look("The stream ended"), 400);
    };
    return;
  }
  unfollow();
  if (state === "unavailable" || state === "offline") retry = setTimeout(() => look("Looked again"), before === state ? 4000 : 2000);
}

function unfollow() {
  stream?.close();
  stream = null;
}

document.addEventListener("visibilitychange", () => { if (!document.hidden) { look("Back on this tab"); lookInside(); } });
addEventListener("pagehide", unfollow);
addEventListener("pageshow", (event) => { if (event.persisted) look("Back on this page"); });

// ---- actions -------------------------------------------------------------------

// on runs one action at a time per control and shows that it is under way.
function on(id, type, action) {
  const element = typeof id === "string" ? $(id) : id;
  element?.addEventListener(type, async (event) => {
    event.preventDefault();
    const control = element.tagName === "FORM" ? element.querySelector("button") : element;
    if (control.getAttribute("aria-busy") === "true") return;
    control.setAttribute("aria-busy", "true");
    try {
      await action(element);
    } finally {
      control.removeAttribute("aria-busy");
      lookInside();
    }
  });
}

function taken(a) {
  if (a.status === 200 && a.json?.state) show(a.json);
  else if (a.status === 401 || a.status === 204) return look();
}

on("refresh", "click", async () => {
  const a = await call("POST", "/api/refresh");
  noteAnswer("Refresh", a);
  await taken(a);
});

on("extend", "click", async () => {
  const a = await call("POST", "/api/refresh", { session_duration_minutes: 60 });
  noteAnswer("Extend by an hour", a);
  await taken(a);
});

for (const button of document.querySelectorAll(".logout")) {
  on(button, "click", async () => {
    unfollow();
    const a = await call("POST", "/api/logout");
    noteAnswer("Log out", a);
    await look();
  });
}

on("retry", "click", () => look("Tried again"));

on("hydrate", "submit", async (form) => {
  const tokens = Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, value.trim()]));
  clearForm(form);
  const a = await call("POST", "/api/hydrate", tokens);
  if (a.status === 200) {
    noteAnswer("Hydrate", a);
    form.reset();
  }
  await taken(a);
  if (a.status !== 200) refused(form, "Hydrate", a);
  if (a.status === 200) goOn();
});

$("sandbox")?.addEventListener("click", () => {
  // Published by Stytch for every test project; it opens nothing of anybody's.
  $("hydrate").elements.session_token.value = "WJtR5BCy38Szd5AfoDpf0iqFKEt4EE5JhjlWUY7l3FtY";
});

// goOn returns to where a guard sent the person away from.
function goOn() {
  if (returnTo !== "/") location.assign(returnTo);
}

for (const guard of document.querySelectorAll(".guard")) {
  const outcome = guard.querySelector(".outcome");
  on(guard.querySelector("button"), "click", async () => {
    const a = await call("GET", guard.dataset.path);
    const e = explain(a, "Let in");
    outcome.className = `outcome ${e.kind}`;
    outcome.replaceChildren(...[make("strong", { textContent: e.title }), e.kind === "good" ? e.detail : e.detail && make("code", { textContent: e.detail })].filter(Boolean));
    noteAnswer(`GET ${guard.dataset.path}`, a, "Let in");
    if (a.status === 200) show(a.json);
    else if (a.status === 401 && !a.challenge.includes("insufficient_user_authentication")) await keepOutcome(outcome, look);
  });
}

// keepOutcome runs a step that may change the state without wiping the answer
// that led to it.
async function keepOutcome(outcome, step) {
  const kept = [outcome.className, [...outcome.childNodes]];
  await step("The session is gone");
  outcome.className = kept[0];
  outcome.replaceChildren(...kept[1]);
}

function clearOutcome(outcome) {
  outcome.className = "outcome";
  outcome.replaceChildren();
}

$("clear").addEventListener("click", () => {
  $("activity").replaceChildren();
  $("activity-empty").hidden = false;
});

// ---- demo mode: the Stytch project inside ------------------------------------------

on("login", "submit", async (form) => {
  const email = form.elements.email.value.trim();
  clearForm(form);
  const a = await call("POST", "/demo/login", { email });
  if (a.status === 202) note(`Magic link sent to ${email}`, "", "open it in the inbox");
  else refused(form, "Send magic link", a);
});

on("phone", "submit", async (form) => {
  const phone = form.elements.phone.value.trim();
  clearForm(form);
  const a = await call("POST", "/demo/step-up", { phone_number: phone });
  if (a.status !== 202) {
    await taken(a);
    return refused(form, "Send code", a);
  }
  phoneID = a.json.phone_id;
  note(`Code sent to ${phone}`, "", "it is in the inbox");
  $("phone").hidden = true;
  $("code").hidden = false;
  $("code").elements.code.focus();
});

on("code", "submit", async (form) => {
  clearForm(form);
  const a = await call("POST", "/demo/step-up/verify", { phone_id: phoneID, code: form.elements.code.value.trim() });
  if (a.status === 200) {
    noteAnswer("Second factor", a);
    resetCode();
  }
  await taken(a);
  if (a.status !== 200) return refused(form, "Second factor", a);
  goOn();
});

$("other-phone")?.addEventListener("click", () => { resetCode(); $("phone").elements.phone.focus(); });

function resetCode() {
  if (!$("code")) return;
  phoneID = "";
  $("code").reset();
  clearForm($("code"));
  $("code").hidden = true;
  $("phone").hidden = false;
}

on("outage", "click", async (button) => {
  const down = button.dataset.down !== "true";
  const a = await call("POST", "/demo/outage", { unavailable: down });
  if (a.status === 204) note(down ? "Stytch is unavailable from now on" : "Stytch is back", down ? "warn" : "good");
  else noteAnswer("Outage", a);
});

on("rotate", "click", async () => {
  const a = await call("POST", "/demo/rotate");
  if (a.status === 204) note("Keys rotated", "", "the next JWT has a key this server has not seen yet");
  else noteAnswer("Rotate keys", a);
});

on("stale", "click", async () => {
  const a = await call("POST", "/demo/stale");
  if (a.status === 204) note("The JWT in the cookie is stale now", "warn", "a request exchanges it for a new one; what Stytch said in the last ten seconds still counts");
  else noteAnswer("Let the JWT go stale", a);
});

on("revoke", "click", async () => {
  const a = await call("POST", "/demo/revoke");
  if (a.status === 204) note("Stytch was told elsewhere that this session is over", "warn", "this server learns it when it asks: try Session, then Fresh");
  else noteAnswer("Revoke elsewhere", a);
});

// lookInside shows the inbox and what was asked of the project.
async function lookInside() {
  if (!demo) return;
  const a = await call("GET", "/demo/state");
  if (a.status !== 200) return;
  const { inbox, unavailable, calls } = a.json;

  $("calls").textContent = `${calls} ${calls === 1 ? "call" : "calls"} by this server`;
  $("outage").dataset.down = String(unavailable);
  $("outage").textContent = unavailable ? "Restore Stytch" : "Make unavailable";
  $("outage-says").textContent = unavailable ? "Every call fails now." : "Calls fail. Local decisions go on.";

  const list = $("inbox");
  const shown = new Map([...list.children].map((item) => [item.dataset.id, item]));
  inbox.forEach((message, i) => {
    message.id = [message.at, message.to, message.token ?? message.code].join(" ");
    let item = shown.get(message.id);
    if (!item) item = letter(message);
    shown.delete(message.id);
    if (list.children[i] !== item) list.insertBefore(item, list.children[i] ?? null);
  });
  for (const item of shown.values()) item.remove();
  $("inbox-empty").hidden = inbox.length > 0;
}

function letter(message) {
  let what, act;
  if (message.token) {
    const query = new URLSearchParams({ token: message.token });
    if (returnTo !== "/") query.set("return_to", returnTo);
    what = make("span", { className: "what", textContent: "Your login link" });
    act = make("a", { href: `/demo/authenticate?${query}`, textContent: "Log in" });
  } else {
    what = make("span", { className: "what" }, ["Code ", make("span", { className: "code", textContent: message.code })]);
    act = make("button", { type: "button", textContent: "Fill in" });
    act.addEventListener("click", () => {
      if ($("code").hidden || !session) {
        note("Fill in: there is no form for it", "warn", session ? "send a code first" : "log in first");
        return;
      }
      $("code").elements.code.value = message.code;
      $("code").querySelector("button").focus();
    });
  }
  const item = make("li", {}, [make("span", { className: "to", textContent: `to ${message.to}` }), what, make("span", { className: "act" }, [act])]);
  item.dataset.id = message.id;
  return item;
}

// Such as a name of the local network. Cookies that are Secure are kept from
// plain http on localhost only.
$("insecure").hidden = isSecureContext;

// ---- begin -----------------------------------------------------------------------

await look();
if ($("link")) note("Log in: the link did not work", "bad");
else if (session) note(`Logged in, ${decidedBy(session)}`, "good", session.factors.map((f) => `${readable(f.type)} (${f.class})`).join(", "));
else note("Page opened", "", names[state][1]);
// What brought us here is done: a reload should not say it again.
if ($("link")) history.replaceState(null, "", returnTo === "/" ? "/" : `/?return_to=${encodeURIComponent(returnTo)}`);
lookInside();
