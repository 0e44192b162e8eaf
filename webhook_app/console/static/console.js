"use strict";
// What a page can do without this it does without it; here is only what saves a click.
const all = document.getElementById("pick-all");
if (all) {
  all.addEventListener("change", () => {
    for (const box of document.querySelectorAll("#rows input[name=rowid]")) box.checked = all.checked;
  });
}
