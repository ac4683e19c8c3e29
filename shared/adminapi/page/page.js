// The page's script: it asks the API for what to show, puts it in place, and
// sends what somebody asks for. Everything comes as text that the API escaped,
// or is put in as text here.
"use strict";

const $ = (id) => document.getElementById(id);
const quick = 2000, slow = 30000; // ms between two looks while something runs, and else
const last = new Map(); // what each box shows
let timer, forget, asked = 0, busy = new Set(), shown = {rule: "", tab: ""};

// ask sends a request, and answers its text. An answer that says no is an error
// with the message of the API, or of API Gateway.
async function ask(path, method = "GET") {
  let answer;
  try {
    answer = await fetch(path, {method, headers: {Accept: "text/html; fragment"}, credentials: "same-origin"});
  } catch {
    throw new Error("There is no answer: is make console still running?");
  }
  const text = await answer.text();
  if (answer.ok) return text;
  let said = {};
  try { said = JSON.parse(text); } catch { /* told as it is, below */ }
  const message = said.error?.message ?? said.message ?? said.Message ?? text;
  throw new Error([message || `status ${answer.status}`, ...(said.error?.details ?? [])].join("; "));
}

// tell shows a text in one of the lines for that, or hides the line.
function tell(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
  $(id).hidden = !text;
}

// mark says that a button is at work. One that is disabled would lose the focus.
function mark(button) {
  button?.setAttribute("aria-disabled", String(busy.has(button.id)));
}

// put replaces what a box shows, unless it is the same, and keeps what is open,
// and the focus: where its button is gone, on the name of the same rule.
function put(box, html) {
  if (last.get(box) === html) return;
  last.set(box, html);
  const at = box.contains(document.activeElement) ? document.activeElement.id : "";
  const open = [...box.querySelectorAll("details")].map((d) => d.open);
  box.replaceChildren(...new DOMParser().parseFromString(html, "text/html").body.childNodes);
  box.querySelectorAll("details").forEach((d, i) => { d.open = Boolean(open[i]); });
  box.querySelectorAll("[data-act]").forEach(mark);
  if (at) ($(at) ?? $(at.replace(/^[^:]*/, "open")))?.focus();
}

const wait = (text) => `<p class="loading">${text}</p>`;
const path = (rule, rest) => `jobs/${encodeURIComponent(rule)}/${rest}`;

// refresh looks at the jobs, and at the runs that are shown while one goes on,
// and plans the next look.
async function refresh() {
  clearTimeout(timer);
  const mine = ++asked;
  try {
    const html = await ask("jobs");
    if (mine !== asked) return; // a younger one is on its way
    put($("jobs"), html);
    tell("wrong", "");
    $("fresh").textContent = "as of " + new Date().toLocaleTimeString();
  } catch (wrong) {
    if (mine !== asked) return;
    tell("wrong", wrong.message);
    if ($("jobs").querySelector(".loading")) put($("jobs"), "");
  }
  const active = [...document.querySelectorAll("[data-active]")].map((row) => row.dataset.active);
  const follows = $("drawer").open && shown.tab === "runs" && !shown.older;
  if (follows && (active.includes(shown.rule) || shown.active)) await load();
  shown.active = active.includes(shown.rule);
  if (mine === asked && !document.hidden) timer = setTimeout(refresh, active.length || busy.size ? quick : slow);
}

// load shows what the drawer is at. A cursor leads on in it.
async function load(cursor = "") {
  const {rule, tab} = shown;
  const next = cursor ? "cursor=" + encodeURIComponent(cursor) : "";
  try {
    const html = tab === "plan" ? await ask(path(rule, "plan?" + next), "POST") : await ask(path(rule, tab + "?" + (tab === "failures" ? "limit=100" : next)));
    if (rule !== shown.rule || tab !== shown.tab) return;
    shown.older = Boolean(cursor);
    put($("detail"), html);
    tell("drawer-wrong", "");
  } catch (wrong) {
    if (rule !== shown.rule || tab !== shown.tab) return;
    tell("drawer-wrong", wrong.message);
    $("detail").querySelector(".loading")?.remove();
    last.delete($("detail"));
  }
}

// show opens the drawer at what the address says after the #, or closes it.
function show() {
  const [rule, tab = "runs"] = decodeURIComponent(location.hash.slice(1)).split("/");
  if (!rule || !["runs", "failures", "plan"].includes(tab)) return $("drawer").close();
  shown = {rule, tab, older: false, active: false};
  $("drawer-title").textContent = "replication:" + rule;
  for (const button of document.querySelectorAll("[data-tab]")) button.ariaCurrent = button.dataset.tab === tab ? "page" : null;
  tell("drawer-wrong", "");
  put($("detail"), wait(tab === "plan" ? "Comparing both sides, which takes up to 20 s…" : "Loading…"));
  if (!$("drawer").open) $("drawer").showModal();
  document.querySelector("nav [aria-current]").focus({preventScroll: true});
  load();
}

// agreed asks a person, and answers what they said.
function agreed(text, yes) {
  $("ask-text").textContent = text;
  $("yes").textContent = yes;
  $("ask").returnValue = "";
  $("ask").showModal();
  return new Promise((done) => $("ask").addEventListener("close", () => done($("ask").returnValue === "yes"), {once: true}));
}

// said tells what came of what somebody did last.
function said(text, look = "said") {
  $("said").className = look;
  tell("said", text);
  clearTimeout(forget);
  if (look === "said") forget = setTimeout(tell, 15000, "said", ""); // a refusal stays
}

// act does to a rule what its button says.
async function act(button) {
  const {id, dataset: {act, rule, ask: text, yes}, textContent: name} = button;
  if (busy.has(id)) return;
  const go = !text || await agreed(text, yes);
  ($(id) ?? $("open:" + rule))?.focus();
  if (!go) return;
  busy.add(id);
  mark($(id));
  said(`${rule}: ${name}…`);
  clearTimeout(timer);
  timer = setTimeout(refresh, 500); // a run may take its time, and shows meanwhile
  try {
    await ask(path(rule, act), "POST");
    said(`${rule}: ${name}: done`);
  } catch (wrong) {
    said(`${rule}: ${wrong.message}`, "alert");
  } finally {
    busy.delete(id);
    mark($(id));
  }
  refresh();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const {open, tab, act: what, more} = button.dataset;
  if (what) act(button);
  else if (open) location.hash = open.split("/").map(encodeURIComponent).join("/");
  else if (tab) location.replace("#" + encodeURIComponent(shown.rule) + "/" + tab);
  else if (more) load(more);
  else if (button.id === "close") $("drawer").close();
  else if (button.id === "no" || button.id === "yes") $("ask").close(button.id);
});
$("drawer").addEventListener("click", (event) => { if (event.target === $("drawer")) $("drawer").close(); }); // beside it
$("drawer").addEventListener("close", () => {
  if (location.hash) history.replaceState(null, "", location.pathname);
  $("open:" + shown.rule)?.focus();
  shown = {rule: "", tab: ""};
});
$("look").addEventListener("submit", async (event) => {
  event.preventDefault();
  put($("object"), wait("Looking…"));
  try {
    put($("object"), await ask("objects?" + new URLSearchParams(new FormData($("look")))));
  } catch (wrong) {
    put($("object"), `<p class="alert"></p>`);
    $("object").firstChild.textContent = wrong.message;
    last.delete($("object"));
  }
});
document.addEventListener("visibilitychange", () => { clearTimeout(timer); if (!document.hidden) refresh(); });
addEventListener("hashchange", show);
refresh();
show();
