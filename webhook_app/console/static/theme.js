"use strict";
// Before anything is drawn: the look that somebody chose; without a choice the system's holds.
try {
  const chosen = localStorage.getItem("look");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
} catch {
  // A browser that keeps nothing for us shows the system's look.
}
