// Running times: since when a state holds, also after the page was loaded again.
//
// Owns: the seconds that count on the page, and a note in the tab's own storage of states that were seen. Must never:
// show a time of before it was known. The host's word counts where it gives one.

import { h } from "./dom.js";

const NOTES = "jackfield-since";

function read() {
  try {
    return JSON.parse(sessionStorage.getItem(NOTES)) ?? {};
  } catch {
    return {};
  }
}

let notes = read();

const stored = new Map();

/** Writes to the tab's storage what has changed: a write takes longer than a drawing. */
export function store(key, text) {
  if (stored.get(key) === text) return;
  stored.set(key, text);
  if (text === null) sessionStorage.removeItem(key);
  else sessionStorage.setItem(key, text);
}

/** Since when an object's state holds. */
export function since(object) {
  const { target, state } = object;
  const [known, at] = notes[target] ?? [];
  if (known === state) return Math.min(at, object.since);
  notes[target] = [state, object.since];
  return object.since;
}

/** Forgets what is not there any more, and keeps the rest for when the page is loaded again. */
export function keep(targets) {
  notes = Object.fromEntries(Object.entries(notes).filter(([target]) => targets.has(target)));
  store(NOTES, JSON.stringify(notes));
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
