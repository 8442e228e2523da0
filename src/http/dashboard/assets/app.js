// The one script of the dashboard. Pages come ready from the server; this sends their forms to the REST API, keeps
// what they show up to date, and listens to the keyboard.
"use strict";

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

function toast(text, kind = "good") {
  const note = document.createElement("div");
  note.className = `toast ${kind}`;
  note.textContent = text;
  $("#toasts").append(note);
  setTimeout(() => note.remove(), 8000);
}

function ask(text) {
  const dialog = $("#ask");
  $("#ask-text").textContent = text;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((done) => {
    dialog.addEventListener("close", () => done(dialog.returnValue === "yes"), { once: true });
  });
}

// ---- The REST API.

async function call(method, path, body) {
  const request = { method, headers: { Accept: "application/json" } };
  if (body !== undefined) {
    request.headers["Content-Type"] = "application/json";
    request.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, request);
  } catch {
    return { ok: false, detail: "the service can't be reached; try again shortly" };
  }
  const json = await response.json().catch(() => ({}));
  if (response.status === 401) location.assign(`/dashboard/login?next=${encodeURIComponent(here())}`);
  return { ok: response.ok, json, detail: json.detail ?? `the service answered ${response.status}` };
}

const here = () => location.pathname + location.search;

// The fields of a form as the body of a request; an empty field that need not be filled is left out. Of a change only
// what differs is sent: what others changed meanwhile stays, and a source is not asked again because of its limits.
function bodyOf(form) {
  const isChange = form.dataset.method === "PATCH";
  const body = {};
  for (const field of $$("[name]", form)) {
    if (isChange && !differs(field)) continue;
    const text = field.value;
    switch (field.dataset.as) {
      case "boolean":
        body[field.name] = field.checked;
        break;
      case "text":
        body[field.name] = text;
        break;
      case "text-or-null":
        body[field.name] = text === "" ? null : text;
        break;
      case "number":
        if (text !== "") body[field.name] = Number(text);
        break;
      case "number-or-null":
        body[field.name] = text === "" ? null : Number(text);
        break;
      case "input":
        body[field.name] = text === "" && isChange ? null : inputOf(text);
        break;
      default:
        if (text !== "") body[field.name] = text;
    }
  }
  return body;
}

// Whether a field holds something else than the page came with.
function differs(field) {
  if (field.type === "checkbox") return field.checked !== field.defaultChecked;
  if (field.options) return field.selectedIndex !== Math.max(0, [...field.options].findIndex((option) => option.defaultSelected));
  return field.value !== field.defaultValue;
}

// A JSON object is sent as one, everything else as the text it is.
function inputOf(text) {
  if (text === "") return undefined;
  if (text.trimStart().startsWith("{")) {
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  }
  return text;
}

function showProblems(form, detail) {
  for (const place of $$(".error", form)) place.textContent = "";
  for (const field of $$("[aria-invalid]", form)) field.removeAttribute("aria-invalid");
  const rest = [];
  for (const problem of Array.isArray(detail) ? detail : [{ loc: [], msg: detail }]) {
    const field = $(`[data-field="${CSS.escape(String(problem.loc[1] ?? ""))}"]`, form);
    if (!field) {
      rest.push(problem.msg);
      continue;
    }
    field.closest("details")?.setAttribute("open", "");
    $(".error", field).textContent = problem.msg;
    $("[name]", field).setAttribute("aria-invalid", "true");
  }
  const place = $("[data-rest]", form);
  if (rest.length && place) place.textContent = rest.join(" ");
  else if (rest.length) toast(rest.join(" "), "bad");
  $('[aria-invalid="true"]', form)?.focus();
}

async function send(form) {
  const { method, path, body, confirm, then } = form.dataset;
  if (confirm && !(await ask(confirm))) return;
  const isButton = form.classList.contains("action");
  const sent = body ? JSON.parse(body) : isButton ? undefined : bodyOf(form);
  if (!isButton && method === "PATCH" && Object.keys(sent).length === 0) {
    showProblems(form, []);
    return toast("Nothing was changed.");
  }
  const buttons = $$("button", form);
  buttons.forEach((button) => (button.disabled = true));
  const answer = await call(method, path, sent);
  buttons.forEach((button) => (button.disabled = false));
  if (!answer.ok) return showProblems(form, answer.detail);
  if (then) return location.assign(then.replace("{id}", encodeURIComponent(answer.json.id ?? "")));
  toast("Done.");
  await refresh(true);
}

async function sendBulk(form, button) {
  const narrows = Object.fromEntries($$("[data-narrows]", form).map((field) => [field.dataset.narrows, field.value]));
  const ids = $$("[data-pick]:checked").map((box) => box.dataset.pick);
  const picked = $("[name=which]", form).value === "picked";
  if (picked && ids.length === 0) return toast("Select tasks first.", "bad");
  const which = picked ? (ids.length === 1 ? "the selected task" : `those of the ${ids.length} selected tasks`) : "every task that fits the search";
  if (!(await ask(button.dataset.confirm.replace("{which}", which)))) return;
  const total = { changed: 0, skipped: 0 };
  let body = picked ? { ids } : narrows;
  do {
    const answer = await call("POST", button.dataset.path, body);
    if (!answer.ok) return showProblems(form, answer.detail);
    total.changed += answer.json.changed;
    total.skipped += answer.json.skipped;
    $("output", form).textContent = `${total.changed} changed, ${total.skipped} left as they were`;
    body = answer.json.has_more ? { ...body, cursor: answer.json.next_cursor } : null;
  } while (body);
  await refresh(true);
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.path) {
    event.preventDefault();
    send(form);
  } else if ("bulk" in form.dataset) {
    event.preventDefault();
    sendBulk(form, event.submitter);
  }
});

// ---- Live: parts of the page are fetched anew when something happened.

let fetching = false;
let stale = false;

async function refresh(now = false) {
  const parts = $$("[data-live]");
  if (parts.length === 0) return now ? location.reload() : undefined;
  // Whoever is choosing tasks or typing is not disturbed.
  const busy = parts.some((part) => $("[data-pick]:checked, input:focus, textarea:focus", part));
  if ((busy && !now) || document.hidden || fetching) {
    stale = true;
    return;
  }
  fetching = true;
  stale = false;
  try {
    const response = await fetch(here(), { headers: { Accept: "text/html" } });
    if (response.redirected) return location.reload();
    if (!response.ok) return;
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    for (const part of parts) {
      const fresh = page.getElementById(part.id);
      if (fresh && fresh.innerHTML !== part.innerHTML) exchange(part, fresh);
    }
  } catch {
    // The next event or the next round tries again.
  } finally {
    fetching = false;
    if (stale) refreshSoon();
  }
}

function exchange(part, fresh) {
  const open = $$("details", part).map((details) => details.open);
  const focused = $$("a, button", part).indexOf(document.activeElement);
  part.replaceChildren(...fresh.childNodes);
  $$("details", part).forEach((details, at) => (details.open = open[at] ?? details.open));
  if (focused >= 0) $$("a, button", part)[focused]?.focus();
  sayTimes();
}

let timer = null;

// At most one fetch within a second, however much happens.
function refreshSoon() {
  timer ??= setTimeout(() => {
    timer = null;
    refresh();
  }, 1000);
}

function follow() {
  if ($$("[data-live]").length === 0) return;
  const events = new EventSource("/api/v1/events");
  for (const kind of ["task", "gap"]) events.addEventListener(kind, refreshSoon);
  events.onopen = () => ($("#live").hidden = false);
  events.onerror = () => ($("#live").hidden = true);
  // What no event tells of: executors, queues, schedules that others change.
  setInterval(refresh, 10000);
  document.addEventListener("visibilitychange", () => !document.hidden && stale && refresh());
  addEventListener("pagehide", () => events.close());
}

async function load(part) {
  try {
    const response = await fetch(part.dataset.load);
    part.innerHTML = response.ok ? await response.text() : "<p class=error>That can't be shown right now.</p>";
  } catch {
    part.textContent = "The service can't be reached.";
  }
}

// ---- What a schedule would do, while it is written.

function previews(form) {
  const place = $("[data-preview-here]", form);
  let wait = null;
  let newest = 0;
  const show = async () => {
    const mine = ++newest;
    const asked = new URLSearchParams();
    for (const name of ["schedule_type", "schedule_expr", "timezone"]) asked.set(name, $(`[name=${name}]`, form).value);
    const response = await fetch(`${form.dataset.preview}?${asked}`).catch(() => null);
    if (response?.ok && mine === newest) place.innerHTML = await response.text();
  };
  form.addEventListener("input", () => {
    clearTimeout(wait);
    wait = setTimeout(show, 250);
  });
  show();
}

// ---- Times, themes, keys.

function relative(ms) {
  const s = Math.trunc(Math.abs(ms) / 1000);
  if (s < 5) return "now";
  const text = s < 60 ? `${s} s` : s < 3600 ? `${Math.trunc(s / 60)} min` : s < 86400 ? `${Math.trunc(s / 3600)} h` : `${Math.trunc(s / 86400)} d`;
  return ms < 0 ? `${text} ago` : `in ${text}`;
}

function sayTimes() {
  for (const time of $$("time:not([data-exact])")) time.textContent = relative(Date.parse(time.dateTime) - Date.now());
}

function switchTheme() {
  const root = document.documentElement;
  const now = root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  root.dataset.theme = now === "dark" ? "light" : "dark";
  document.cookie = `spark_theme=${root.dataset.theme}; Path=/dashboard; Max-Age=31536000; SameSite=Strict`;
}

let awaitsSection = false;

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("dialog[open]")) return;
  if (event.target.closest("input, textarea, select")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const go = awaitsSection && $(`[data-go="${CSS.escape(event.key)}"]`);
  awaitsSection = event.key === "g" && !awaitsSection;
  if (go) go.click();
  else if (event.key === "?") $("#help").showModal();
  else if (event.key === "n") $("[data-new]")?.click();
  else if (event.key === "/") {
    event.preventDefault();
    const search = $("[data-search]");
    if (search) search.focus();
    else location.assign("/dashboard/tasks#search");
  }
});

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-theme-switch]")) switchTheme();
  if (event.target.closest("[data-help]")) $("#help").showModal();
});

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-pick-all]")) $$("[data-pick]").forEach((box) => (box.checked = event.target.checked));
});

sayTimes();
setInterval(sayTimes, 5000);
$$("[data-load]").forEach(load);
$$("[data-preview]").forEach(previews);
if (location.hash === "#search") $("#search")?.focus();
follow();
