// What htmx leaves to do: to ask somebody before it acts, to say what the API
// answers as JSON, to open what the address names, and to keep the focus.
// Everything that is shown is escaped by the API, or put in as text here.
"use strict";

const $ = (id) => document.getElementById(id);
const forget = new Map(); // the timers of the lines
let shown = "";

// tell shows a text and its details in one of the lines for that, or hides the
// line. What stands there already is not said again.
function tell(line, text = "", details = []) {
  line.hidden = !text;
  if (line.textContent === text + details.join("")) return;
  line.textContent = text;
  if (!details.length) return;
  const list = line.appendChild(document.createElement("ul"));
  for (const detail of details) list.appendChild(document.createElement("li")).textContent = detail;
}

// said tells what came of what somebody did last, where it can be seen; a
// refusal stays.
function said(text, details, look = "said") {
  const line = $($("drawer").open ? "drawer-said" : "said");
  line.className = look;
  tell(line, text, details);
  clearTimeout(forget.get(line));
  if (look === "said") forget.set(line, setTimeout(tell, 15000, line));
}

// refusal is what an answer that says no says: the API, API Gateway or the
// console, or nobody.
function refusal(xhr) {
  if (!xhr.status) return ["There is no answer: is make console still running?", []];
  let answer = {};
  try { answer = JSON.parse(xhr.responseText); } catch { /* told as it is, below */ }
  const text = answer.error?.message ?? answer.message ?? answer.Message ?? xhr.responseText;
  const advice = xhr.status === 403 && !answer.error ? ["Sign in again where make console runs, and start it again; or ask for execute-api:Invoke."] : [];
  return [text || `status ${xhr.status}`, answer.error?.details ?? advice];
}

const refresh = () => htmx.trigger("#jobs", "refresh");
const lineOf = (elt) => $(elt.closest("[data-wrong]")?.dataset.wrong ?? "wrong");

// Each request, from when it is sent. Its element may be gone when the answer
// comes, and then its events go no further than to itself.
document.addEventListener("htmx:beforeSend", ({detail: {elt, xhr, target, requestConfig}}) => {
  const {rule, loading, then} = elt.dataset, acts = requestConfig.verb !== "get" && !loading;
  const form = elt.closest("form[data-wrong]"), about = rule ?? nameIn(form);
  const name = acts && `${about}: ${elt.dataset.name ?? elt.textContent}`;
  if (acts) {
    elt.ariaDisabled = "true"; // one that is disabled would lose the focus
    said(`${name}…`);
    setTimeout(refresh, 500); // a run may take its time, and shows meanwhile
  }
  if (loading) {
    const wait = document.createElement("p");
    wait.className = "loading";
    wait.textContent = loading;
    target.replaceChildren(wait);
    tell(lineOf(form ?? target));
  }
  const wrong = () => {
    let [text, details] = refusal(xhr);
    if (form) details = details.map((detail) => detail.replace(/^(\d+): /, "line $1: "));
    target.querySelector(":scope > .loading")?.remove();
    if (acts && !form) said(`${about}: ${text}`, details, "alert");
    else if (elt.closest("[data-row]")) refresh(); // which says what is wrong, or that the row is gone
    else tell(lineOf(form ?? target), text, details);
    if (acts && form) said("");
  };
  const on = {
    "htmx:responseError": wrong, "htmx:sendError": wrong, "htmx:timeout": wrong,
    "htmx:afterRequest": ({detail: {successful}}) => {
      for (const event in on) elt.removeEventListener(event, mine);
      if (elt.id === "jobs" && successful) $("fresh").textContent = "as of " + new Date().toLocaleTimeString();
      if (successful && !elt.closest("[data-row]")) tell(lineOf(form ?? target));
      if (!acts) return;
      ($(elt.id) ?? elt).ariaDisabled = null;
      if (successful && form) {
        drafts.delete(draftOf(form));
        form.reset();
      }
      if (successful && then === "close") $("drawer").close();
      if (successful && then === "open") location.hash = `${encodeURIComponent(about)}/rule`;
      if (successful) said(`${name}: done`);
      refresh();
    },
  };
  const mine = (event) => { if (event.detail.xhr === xhr) setTimeout(on[event.type], 0, event); };
  for (const event in on) elt.addEventListener(event, mine);
});

// A rule's text is sent as it is. A new one names the rule that it makes.
const nameIn = (form) => form?.elements.text?.value.match(/^name:[ \t]*["']?([A-Za-z0-9_.-]{1,64})["']?[ \t]*(#.*)?$/m)?.[1];
function defineYAML() {
  htmx.defineExtension("yaml", {
    onEvent(name, {detail}) {
      if (name !== "htmx:configRequest") return true;
      detail.headers["Content-Type"] = "application/yaml";
      if (!detail.path.includes("{name}")) return true;
      const form = detail.elt.closest("form"), made = nameIn(form);
      if (!made) tell(lineOf(form), "The text has no line that names the rule, as in name: my-rule");
      detail.path = detail.path.replace("{name}", made);
      return Boolean(made);
    },
    encodeParameters: (xhr, parameters) => parameters.get("text"),
  });
}

// What was typed and not applied is there again when its rule is.
const drafts = new Map();
const draftOf = (form) => `${form.id} ${form.dataset.rule ?? shown}`;
document.addEventListener("input", ({target: {form, name, value}}) => { if (name === "text") drafts.set(draftOf(form), value); });
document.addEventListener("reset", ({target}) => {
  drafts.delete(draftOf(target));
  $(target.id + "-outcome")?.replaceChildren();
  if ($(target.id + "-wrong")) tell($(target.id + "-wrong"));
});
document.addEventListener("htmx:afterSwap", ({detail}) => {
  if (detail.requestConfig.verb !== "get") return; // then it was applied
  for (const form of document.querySelectorAll("#detail form")) form.elements.text.value = drafts.get(draftOf(form)) ?? form.elements.text.value;
});

// Nobody looks: the looks that repeat themselves wait.
document.addEventListener("htmx:beforeRequest", (event) => {
  const {verb, triggeringEvent} = event.detail.requestConfig;
  if (document.hidden && verb === "get" && !triggeringEvent) event.preventDefault();
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });

// What needs a yes gets it in a dialog, and is sent as it was when it was asked.
let asked;
document.addEventListener("htmx:confirm", (event) => {
  const {elt, question, issueRequest} = event.detail;
  if (elt.ariaDisabled === "true") return event.preventDefault();
  if (!question) return;
  event.preventDefault();
  asked = {id: elt.id, issueRequest};
  $("ask-text").textContent = question;
  $("yes").textContent = elt.dataset.yes;
  $("ask").returnValue = "";
  $("ask").showModal();
});
$("ask").addEventListener("close", () => {
  if ($("ask").open) return; // again: this tells of the question before
  if (lost()) focusOn(asked.id);
  if ($("ask").returnValue === "yes") asked.issueRequest(true);
});

// lost tells whether nothing has the focus. A dialog that closes gives it back
// itself, before it says that it has closed, and somebody may have gone on since.
const lost = () => document.activeElement === document.body;

// focusOn a button, or where it is gone on the name of the same rule, or where
// that is gone too on what stands above.
const focusOn = (id) => ($(id) ?? $(id.replace(/^[^:]*/, "open")) ?? document.querySelector("dialog[open] [aria-current]") ?? $("jobs-title")).focus();

function decoded(text) {
  try { return decodeURIComponent(text); } catch { return ""; }
}

// show opens the drawer at the rule and the tab that the address names after its
// #, or closes it.
function show() {
  const [rule, name = "runs"] = location.hash.slice(1).split("/").map(decoded);
  const tabs = [...document.querySelectorAll("[data-tab]")], tab = tabs.find((tab) => tab.dataset.tab === name);
  if (!/^[\w.-]+$/.test(rule) || !tab) return $("drawer").close();
  shown = rule;
  $("drawer-title").textContent = "replication:" + rule;
  for (const each of tabs) {
    each.href = `#${encodeURIComponent(rule)}/${each.dataset.tab}`;
    each.ariaCurrent = each === tab ? "page" : null;
  }
  if (!$("drawer").open) $("drawer").showModal();
  tab.focus({preventScroll: true});
  const {method, path, loading} = tab.dataset;
  $("detail").dataset.loading = loading;
  htmx.ajax(method, path.replace("{rule}", () => encodeURIComponent(rule)), {source: "#detail", target: "#detail", swap: "innerHTML"})
    .catch(() => {}); // said by its events; one that was aborted nobody waits for
}
addEventListener("hashchange", show);

$("drawer").addEventListener("close", () => {
  htmx.trigger("#detail", "htmx:abort");
  $("detail").replaceChildren();
  tell($("drawer-said"));
  if (location.hash) history.replaceState(null, "", location.pathname);
  if (lost()) focusOn("open:" + shown);
});

document.addEventListener("click", ({target}) => {
  const id = target.closest("button, dialog")?.id;
  if (id === "close" || target === $("drawer")) $("drawer").close(); // beside it, too
  else if (id === "no" || id === "yes") $("ask").close(id);
});

if (window.htmx && window.Idiomorph) {
  // What somebody opened, what is at work, and what a row or a part of it asked
  // for itself stays as it is.
  const asked = ({dataset: old}, {dataset: now}) => old && ("own" in old || old.row === "told" && now?.row === "asks");
  Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name) => name !== "open" && name !== "aria-disabled";
  Idiomorph.defaults.callbacks.beforeNodeMorphed = (old, now) => !asked(old, now);
  defineYAML();
  let at = "";
  document.addEventListener("htmx:beforeSwap", ({detail}) => {
    at = document.activeElement.id;
    // Somebody applied a text, and looks at something else meanwhile.
    if (detail.requestConfig.verb === "put" && !detail.requestConfig.elt.isConnected) detail.shouldSwap = false;
  });
  document.addEventListener("htmx:afterSwap", () => { if (at && lost()) focusOn(at); });
  show();
} else {
  $("jobs").replaceChildren();
  tell($("wrong"), "A part of this page is missing where the function was built: make build, and deploy again.");
}
