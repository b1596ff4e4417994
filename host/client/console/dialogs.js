// What the console asks and tells: dialogs with a form in them, and short messages that go away by themselves.
//
// Owns: the one modal dialog at a time, and the messages in the corner. Must never: keep a password; what is remembered
// for suggestions are destinations and codes, for as long as the page is open.

import { create, h, returnTo } from "./dom.js";
import { icon } from "./icons.js";

const MESSAGE_STAYS = 6_000;
const remembered = new Map();

/** Tells something in the corner. `tone`: `good` or `bad`; `link`: an address to open. */
export function tell(text, { tone = "bad", link } = {}) {
  const toast = create(h("div", { class: `toast ${tone}` },
    h("p", null, text),
    link && h("a", { href: link, target: "_blank", rel: "noopener noreferrer", class: "button small" }, icon("open"), h("span", null, "Open page")),
    h("button", { type: "button", class: "button bare", "aria-label": "Dismiss", onclick: () => toast.remove() }, icon("close"))));
  document.getElementById("toasts").append(toast);
  setTimeout(() => toast.remove(), link ? 2 * MESSAGE_STAYS : MESSAGE_STAYS);
}

/** Says something to those who do not see the page. */
export function announce(text) {
  document.getElementById("announcements").textContent = text;
}

/** Sends a command; a failure is told. Resolves to whether it succeeded. */
export async function attempt(label, send) {
  try {
    await send();
    return true;
  } catch (error) {
    // Declined by who was asked: nothing that he does not know.
    if (error.code !== "needinfo") tell(`${label}: ${wordsOf(error)}`);
    return false;
  }
}

export function wordsOf(error) {
  const code = error.code ? `${error.message} (${error.code})` : error.message;
  return error.context ? `${code}: ${error.context}` : code;
}

/**
 * Opens a modal dialog. `close(value)` ends it; resolves to that value, or to null where it was dismissed. `opened` is
 * called with the dialog once it is there, and what it returns when it is gone.
 */
export function open(build, opened) {
  return new Promise((resolve) => {
    let result = null;
    const back = returnTo(document.activeElement);
    const dialog = document.createElement("dialog");
    const close = (value = null) => { result = value; dialog.close(); };
    dialog.className = "dialog";
    dialog.append(create(build(close)));
    dialog.setAttribute("aria-labelledby", "dialog-title");
    let gone;
    dialog.onclose = () => {
      dialog.remove();
      gone?.();
      back();
      resolve(result);
    };
    // A press beside it dismisses it.
    dialog.onmousedown = (event) => { if (event.target === dialog) close(); };
    document.body.append(dialog);
    dialog.showModal();
    (dialog.querySelector("[autofocus], input, select, textarea") ?? dialog.querySelector("button"))?.focus();
    gone = opened?.(dialog);
  });
}

export const heading = (title, close) => h("header", { class: "dialog-head" },
  h("h2", { id: "dialog-title" }, title),
  h("button", { type: "button", class: "button bare", "aria-label": "Close", onclick: () => close() }, icon("close")));

/** Asks yes or no. */
export function confirm({ title, text, yes, no = "Cancel" }) {
  return open((close) => h("div", { class: "dialog-body" },
    heading(title, close),
    h("p", null, text),
    h("footer", { class: "dialog-foot" },
      h("button", { type: "button", class: "button quiet", onclick: () => close(false) }, no),
      h("button", { type: "button", class: "button main", autofocus: true, onclick: () => close(true) }, yes))));
}

let numbered = 0;

/** One field with its label, hint and suggestions. */
export function field({ name, label, type = "text", required = false, hint, options, remember, known = [], value, placeholder, autocomplete = "off", list: offered }) {
  const id = `field-${++numbered}`;
  const about = { id, name, required, "aria-describedby": hint ? `${id}-hint` : undefined };
  const suggestions = remember ? [...new Set([...(remembered.get(remember) ?? []), ...known])] : known;
  const control = () => {
    if (type === "checkbox") return h("input", { ...about, type, required: false, checked: value ?? false });
    if (options) {
      return h("select", { ...about, value: value ?? (required ? options[0] : "") },
        !required && h("option", { value: "" }, "—"), options.map((option) => h("option", { value: option }, option)));
    }
    if (type === "json") return h("textarea", { ...about, rows: 4, spellcheck: "false", placeholder: placeholder ?? "{}", value: value ?? "" });
    return h("input", { ...about, type, value: value ?? "", placeholder, autocomplete, list: suggestions.length ? `${id}-list` : undefined, step: type === "number" ? "any" : undefined });
  };
  return h("div", { class: `field ${type === "checkbox" ? "check" : ""}` },
    h("label", { for: id }, label, required && type !== "checkbox" && h("span", { class: "required", "aria-hidden": "true" }, " *")),
    control(),
    suggestions.length > 0 && h("datalist", { id: `${id}-list` }, suggestions.map((each) => h("option", { value: each }))),
    hint && h("p", { class: "hint", id: `${id}-hint` }, hint),
    offered && h("div", { class: "offers-of", "data-offer": name }));
}

function remember(fields, data) {
  for (const { name, remember: list } of fields) {
    if (list && data[name]) remembered.set(list, [...new Set([data[name], ...(remembered.get(list) ?? [])])].slice(0, 12));
  }
}

/** Shows what the platform's lists offer for the fields of a dialog; the answer ends that. */
function offers(fields, dialog) {
  const ends = fields.filter(({ list }) => list).map(async ({ name, list }) => {
    const { offer } = await import("./choices.js");
    return offer(list, dialog.querySelector("form").elements.namedItem(name), dialog.querySelector(`[data-offer="${name}"]`));
  });
  return () => ends.forEach((ending) => ending.then((end) => end()));
}

/** A form in a dialog: stays open with the reason where `onsubmit` fails. Resolves to true once it succeeded. */
export function ask({ title, intro, fields, submit, onsubmit, read = plain }) {
  return open((close) => {
    const send = async (event) => {
      event.preventDefault();
      const form = event.currentTarget;
      const problem = form.querySelector(".problem");
      const buttons = form.querySelectorAll("button");
      let data;
      try {
        data = read(form, fields);
      } catch (error) {
        problem.textContent = error.message;
        return;
      }
      problem.textContent = "";
      buttons.forEach((button) => { button.disabled = true; });
      try {
        const answer = await onsubmit(data);
        remember(fields, data);
        if (answer && fields.showAnswer && Object.keys(answer).length) problem.before(create(h("pre", { class: "answer", tabindex: "0", "aria-label": "Answer" }, JSON.stringify(answer, null, 2))));
        else close(true);
      } catch (error) {
        problem.textContent = wordsOf(error);
      } finally {
        buttons.forEach((button) => { button.disabled = false; });
      }
    };
    return h("form", { class: "dialog-body", onsubmit: send, novalidate: false },
      heading(title, close),
      intro && h("p", null, intro),
      fields.map(field),
      h("p", { class: "problem", role: "alert" }),
      h("footer", { class: "dialog-foot" },
        h("button", { type: "button", class: "button quiet", onclick: () => close() }, "Cancel"),
        h("button", { type: "submit", class: "button main" }, submit)));
  }, (dialog) => offers(fields, dialog));
}

/** What was filled in, by name; what was left empty is left out. */
function plain(form, fields) {
  const data = {};
  for (const { name, type } of fields) {
    const control = form.elements.namedItem(name);
    if (type === "checkbox") data[name] = control.checked;
    else if (control.value !== "") data[name] = control.value;
  }
  return data;
}
