"use strict";
// Keys for people who look at many alerts, and events that are fetched once the page stands.
// Without this script everything works by links and forms.

const verdict = document.querySelector("[data-verdict]");
const keys = document.getElementById("keys");
const rows = [...document.querySelectorAll("[data-queue] a")];

function move(step) {
  if (!rows.length) return;
  const at = rows.indexOf(document.activeElement);
  const next = at < 0 ? (step > 0 ? 0 : rows.length - 1) : at + step;
  rows[Math.min(Math.max(next, 0), rows.length - 1)].focus();
}

function choose(button) {
  for (const each of verdict.querySelectorAll("[data-key]"))
    each.classList.toggle("chosen", each === button);
  if (button) verdict.elements.why.focus();
}

function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || keys?.open) return;
  if (event.target.closest("input, textarea, select")) return;
  const { key } = event;
  const button = verdict?.querySelector(`[data-key="${CSS.escape(key)}"]`);
  if (key === "j") move(1);
  else if (key === "k") move(-1);
  else if (key === "u") document.querySelector("[data-up]")?.click();
  else if (key === "?") keys?.showModal();
  else if (button) choose(button);
  else return;
  event.preventDefault();
}

document.addEventListener("keydown", press);
verdict?.elements.why.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    choose(null);
    event.target.value = "";
    event.target.blur();
  } else if (event.key === "Enter") {
    // never the first button by chance: only the one that was chosen
    event.preventDefault();
    const chosen = verdict.querySelector(".chosen");
    if (chosen) verdict.requestSubmit(chosen);
  }
});

for (const button of document.querySelectorAll("[data-keys]")) {
  button.hidden = false;
  button.addEventListener("click", () => keys.showModal());
}

async function load(section) {
  const answer = await fetch(section.dataset.load);
  const there = new DOMParser().parseFromString(await answer.text(), "text/html");
  const found = there.getElementById("events");
  if (answer.ok && found) section.replaceWith(found);
}

for (const section of document.querySelectorAll("[data-load]")) load(section);
