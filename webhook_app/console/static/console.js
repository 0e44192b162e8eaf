"use strict";
// What a page can do without this it does without it; here is only what saves a click.

// Dark or light: a choice that is the system's own is no choice, and follows the system from then on.
const look = document.getElementById("theme");
const system = matchMedia("(prefers-color-scheme: dark)");
function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : system.matches;
}
function showLook() {
  look.setAttribute("aria-pressed", String(isDark()));
}
function keepLook(name) {
  if (name) document.documentElement.dataset.theme = name;
  else delete document.documentElement.dataset.theme;
  try {
    if (name) localStorage.setItem("look", name);
    else localStorage.removeItem("look");
  } catch {
    // It holds for this page.
  }
}
if (look) {
  look.hidden = false;
  showLook();
  system.addEventListener("change", showLook);
  look.addEventListener("click", () => {
    const wanted = isDark() ? "light" : "dark";
    keepLook((wanted === "dark") === system.matches ? "" : wanted);
    showLook();
  });
}

// A page that a phone shows begins with its rows; who has narrowed it down sees by what.
const narrow = matchMedia("(max-width: 40rem)");
function foldFilters() {
  for (const filters of document.querySelectorAll(".more-filters")) filters.open = !narrow.matches;
}
foldFilters();
narrow.addEventListener("change", foldFilters);

// What scrolls can be reached by keyboard; what does not need not be stopped at.
function stopWhereItScrolls() {
  for (const region of document.querySelectorAll(".scroll, .block")) {
    if (region.scrollWidth > region.clientWidth || region.scrollHeight > region.clientHeight) region.tabIndex = 0;
    else region.removeAttribute("tabindex");
  }
}
stopWhereItScrolls();
addEventListener("resize", stopWhereItScrolls);

// How many rows are chosen.
const rows = document.getElementById("rows");
const all = document.getElementById("pick-all");
function boxes() {
  return [...rows.querySelectorAll("input[name=rowid]")];
}
function countChosen() {
  const chosen = boxes().filter((box) => box.checked).length;
  rows.querySelector(".bulk-count").textContent = chosen ? `${chosen} chosen:` : "Choose rows to act on them:";
  rows.querySelector(".bulk").classList.toggle("has-chosen", chosen > 0);
  all.checked = chosen > 0 && chosen === boxes().length;
  all.indeterminate = chosen > 0 && !all.checked;
}
if (rows && all && rows.querySelector(".bulk")) {
  all.hidden = false;
  rows.addEventListener("change", (event) => {
    if (event.target === all) for (const box of boxes()) box.checked = all.checked;
    countChosen();
  });
  countChosen();
  // A browser that goes back shows the boxes as they were.
  addEventListener("pageshow", countChosen);
}

// Times go on, and say what the clock here shows. The units are those of formats.py.
function amount(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${seconds.toFixed(0)} s`;
  if (seconds < 7200) return `${(seconds / 60).toFixed(0)} min`;
  if (seconds < 172800) return `${(seconds / 3600).toFixed(0)} h`;
  return `${(seconds / 86400).toFixed(0)} d`;
}
function isRelative(text) {
  return / ago$/.test(text) || /^in \d/.test(text);
}
function refreshTimes() {
  for (const time of document.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    if (time.title.endsWith(" UTC")) time.title += `, here ${at.toLocaleString()}`;
    if (time.children.length || !isRelative(time.textContent.trim())) continue;
    const seconds = (Date.now() - at.getTime()) / 1000;
    const text = seconds >= 0 ? `${amount(seconds)} ago` : `in ${amount(-seconds)}`;
    if (time.textContent !== text) time.textContent = text;
  }
}
refreshTimes();
setInterval(refreshTimes, 10_000);

// Ctrl+K (⌘K) goes to the search; a single key would take itself away from those who speak to their browser.
const find = document.getElementById("find");
if (find) {
  find.title = "Ctrl+K";
  addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
    event.preventDefault();
    find.focus();
    find.select();
  });
}
