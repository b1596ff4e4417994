// Running times: since when a state holds, as the host tells it.
//
// Owns: the seconds that count on the page, and what is written to the tab's own storage. Must never: make a time up.

import { h } from "./dom.js";

const stored = new Map();

/** Writes to the tab's storage what has changed: a write takes longer than a drawing. */
export function store(key, text) {
  if (stored.get(key) === text) return;
  stored.set(key, text);
  if (text === null) sessionStorage.removeItem(key);
  else sessionStorage.setItem(key, text);
}

const two = (number) => String(number).padStart(2, "0");

export function duration(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

/** A time that counts. */
export function counting(start) {
  return h("time", { class: "time", "data-since": start, own: true, role: "timer", "aria-label": "Time in this state" }, duration(Date.now() - start));
}

setInterval(() => {
  const now = Date.now();
  for (const element of document.querySelectorAll("[data-since]")) {
    const text = duration(now - Number(element.dataset.since));
    if (element.textContent !== text) element.textContent = text;
  }
}, 250);
