"use strict";
// The editor works without this: it saves a click on Validate, and leads from a fault to its line.
(() => {
  const form = document.getElementById("definition-form");
  const box = document.getElementById("definition-text");
  const verdict = document.getElementById("definition-verdict");
  if (!form || !box || !verdict) return;
  const PAUSE_MS = 600;
  let timer = 0;
  let asked = 0;
  const began = box.value;

  const make = (name, text, className) => {
    const element = document.createElement(name);
    element.textContent = text;
    if (className) element.className = className;
    return element;
  };

  const goTo = (line, column) => {
    const lines = box.value.split("\n");
    const start = lines.slice(0, line - 1).reduce((sum, each) => sum + each.length + 1, 0);
    box.focus();
    box.setSelectionRange(start + column - 1, start + (lines[line - 1] || "").length);
    box.scrollTop = Math.max(0, (line - 4) * (box.scrollHeight / lines.length));
  };

  const place = (line, column) => {
    const button = make("button", column ? `line ${line}, column ${column}` : `line ${line}`, "where");
    button.type = "button";
    button.addEventListener("click", () => goTo(line, column || 1));
    return button;
  };

  const list = (entries) => {
    const whole = make("ul", "", "faults");
    whole.append(...entries);
    return whole;
  };

  const show = ({ faults, warnings }) => {
    const parts = [];
    if (faults.length) {
      parts.push(make("p", `${faults.length} ${faults.length === 1 ? "fault" : "faults"}`, "fault"));
      parts.push(list(faults.map((each) => {
        const entry = make("li", "", "fault");
        if (each.line) entry.append(place(each.line, each.column), " ");
        entry.append(each.message);
        return entry;
      })));
    } else parts.push(make("p", "It can be run.", "fine"));
    if (warnings.length) parts.push(make("h3", "Worth a look"), list(warnings.map((each) => make("li", each))));
    verdict.replaceChildren(...parts);
  };

  const validate = async () => {
    const mine = ++asked;
    try {
      const response = await fetch(form.dataset.validate, {
        method: "POST",
        headers: { "X-CSRFToken": form.elements.csrf_token.value },
        body: new URLSearchParams({ text: box.value, id: form.dataset.row }),
      });
      if (!response.ok) throw new Error(String(response.status));
      const found = await response.json();
      if (mine === asked) show(found);
    } catch {
      if (mine === asked) verdict.replaceChildren(make("p", "Not validated: the console does not answer.", "soft"));
    }
  };

  box.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(validate, PAUSE_MS);
  });
  for (const each of verdict.querySelectorAll("[data-line]")) {
    each.replaceWith(place(Number(each.dataset.line), each.textContent.includes("column") ? Number(each.dataset.column) : 0));
  }
  // What was typed is not lost by a wrong click.
  let isSent = false;
  form.addEventListener("submit", () => { isSent = true; });
  window.addEventListener("beforeunload", (event) => {
    if (!isSent && box.value !== began) event.preventDefault();
  });
})();
