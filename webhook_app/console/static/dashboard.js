"use strict";
// Asks for the panels every few seconds, and puts in what has changed, so that who reads or types notices nothing.

const EVERY_MS = 15_000;
// While hours are being counted there is news sooner.
const WHILE_COUNTING_MS = 3_000;
const GIVE_UP_MS = 20_000;
const panels = document.getElementById("panels");
const freshness = document.getElementById("freshness");
const stale = document.getElementById("stale");
const refresh = document.getElementById("refresh");
const pause = document.getElementById("pause");

let updatedAt = Date.now();
let triedAt = Date.now();
let isAsking = false;
let isPaused = false;
let isSignedOut = false;

// What a panel says, without what changes by itself or by the reader: times, opened tables, what console.js adds.
function substance(panel) {
  const copy = panel.cloneNode(true);
  for (const time of copy.querySelectorAll("time")) {
    time.textContent = "";
    time.removeAttribute("title");
    time.removeAttribute("datetime");
  }
  for (const details of copy.querySelectorAll("details")) details.removeAttribute("open");
  for (const region of copy.querySelectorAll(".scroll, .block")) region.removeAttribute("tabindex");
  return copy.outerHTML;
}

// The reader's place in a panel: what has the focus, what is open, and how far lists are scrolled.
function placeIn(panel) {
  const all = [...panel.querySelectorAll("a, summary, [tabindex]")];
  const focused = all.indexOf(document.activeElement);
  return {
    focused,
    href: focused >= 0 ? all[focused].getAttribute("href") : null,
    open: [...panel.querySelectorAll("details[open]")].map((each) => each.id),
    scrolled: [...panel.querySelectorAll(".scroll")].map((each) => [each.scrollLeft, each.scrollTop]),
  };
}

function putBack(panel, place) {
  for (const id of place.open) {
    const details = id && panel.querySelector(`#${CSS.escape(id)}`);
    if (details) details.open = true;
  }
  panel.querySelectorAll(".scroll").forEach((each, index) => {
    if (place.scrolled[index]) [each.scrollLeft, each.scrollTop] = place.scrolled[index];
  });
  if (place.focused < 0) return;
  const all = [...panel.querySelectorAll("a, summary, [tabindex]")];
  const same = place.href && all.find((each) => each.getAttribute("href") === place.href);
  const next = same || all[Math.min(place.focused, all.length - 1)] || document.getElementById("main");
  next.focus({ preventScroll: true });
}

// Somebody is marking text to copy it: that panel stays as it is until the next time.
function isMarkedIn(panel) {
  const selection = getSelection();
  return selection && !selection.isCollapsed && selection.containsNode(panel, true);
}

// Times go on within a panel that is otherwise the same.
function renewTimes(old, fresh) {
  const times = fresh.querySelectorAll("time");
  old.querySelectorAll("time").forEach((time, index) => {
    if (time.dateTime === times[index].dateTime) return;
    time.dateTime = times[index].dateTime;
    time.title = times[index].title;
    time.textContent = times[index].textContent;
  });
}

function renew(old, fresh) {
  if (isMarkedIn(old)) return;
  if (substance(old) === substance(fresh)) {
    renewTimes(old, fresh);
    return;
  }
  const place = placeIn(old);
  old.replaceWith(fresh);
  putBack(fresh, place);
}

// Panels that come or go as such, like the first steps, change the whole; that is rare.
function show(html) {
  const parsed = new DOMParser().parseFromString(html, "text/html").body;
  const ids = (root) => [...root.querySelectorAll("[data-panel]")].map((each) => each.id);
  if (ids(parsed).join() === ids(panels).join()) {
    for (const fresh of parsed.querySelectorAll("[data-panel]")) renew(document.getElementById(fresh.id), fresh);
  } else if (!isMarkedIn(panels)) {
    const place = placeIn(panels);
    panels.replaceChildren(...parsed.childNodes);
    putBack(panels, place);
  }
  stopWhereItScrolls();
  refreshTimes();
}

function say(text, link) {
  if (stale.dataset.said === text) return;
  stale.dataset.said = text;
  stale.hidden = !text;
  stale.textContent = text;
  if (link) stale.append(" ", link);
  document.body.classList.toggle("is-stale", Boolean(text));
}

function signedOut() {
  isSignedOut = true;
  const link = document.createElement("a");
  link.href = refresh.href;
  link.textContent = "Sign in again";
  say("You are signed out, so this page is no longer updated.", link);
}

async function ask() {
  if (isAsking || isSignedOut) return;
  isAsking = true;
  triedAt = Date.now();
  refresh.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(panels.dataset.url, {
      redirect: "manual",
      cache: "no-store",
      signal: AbortSignal.timeout(GIVE_UP_MS),
    });
    if (answer.type === "opaqueredirect" || answer.status === 401 || answer.status === 403) {
      signedOut();
    } else if (answer.ok) {
      show(await answer.text());
      updatedAt = Date.now();
      say("");
    } else {
      notUpdated(answer.status === 503 ? "the database is away" : `the server answers ${answer.status}`);
    }
  } catch {
    notUpdated("the server does not answer");
  } finally {
    isAsking = false;
    refresh.removeAttribute("aria-busy");
    tell();
  }
}

function notUpdated(why) {
  say(`Not updated since ${new Date(updatedAt).toLocaleTimeString()}: ${why}. This page goes on trying.`);
}

function tell() {
  const seconds = Math.max(0, Math.round((Date.now() - updatedAt) / 1000));
  const text = seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
  freshness.textContent = `updated ${text} ago${isPaused ? ", paused" : ""}`;
}

function tick() {
  if (document.visibilityState !== "visible") return;
  tell();
  const everyMs = panels.querySelector(".counting") ? WHILE_COUNTING_MS : EVERY_MS;
  if (!isPaused && Date.now() - triedAt >= everyMs) ask();
}

pause.hidden = false;
pause.addEventListener("click", () => {
  isPaused = !isPaused;
  pause.setAttribute("aria-pressed", String(isPaused));
  tell();
});
refresh.addEventListener("click", (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey || isSignedOut) return;
  event.preventDefault();
  ask();
});
document.addEventListener("visibilitychange", tick);
// A page that the browser kept while somebody was elsewhere may be old.
addEventListener("pageshow", (event) => event.persisted && ask());
setInterval(tick, 1000);
tell();
