// Questions that an adapter brings with it: forms made of its schemas, and what its platform must know.
//
// Must never: know an adapter; a schema or a list of choices is all there is to go by.

import { h } from "./dom.js";
import { ask, heading, open } from "./dialogs.js";

function schemaFields(schema) {
  const required = new Set(schema.required ?? []);
  const properties = Object.entries(schema.properties ?? {});
  properties.sort(([one], [other]) => required.has(other) - required.has(one));
  return properties.map(([name, property]) => {
    const kind = Array.isArray(property.type) ? property.type.find((type) => type !== "null") : property.type;
    const type = { boolean: "checkbox", integer: "number", number: "number", object: "json", array: "json" }[kind] ?? "text";
    return {
      name, type, kind, label: property.title ?? name, required: required.has(name), hint: property.description,
      options: property.enum?.map(String), values: property.enum, value: property.default === undefined ? undefined : showDefault(property.default, type),
      placeholder: kind === "array" ? "[]" : undefined,
    };
  });
}

const showDefault = (value, type) => (type === "json" ? JSON.stringify(value) : type === "checkbox" ? value : String(value));

/** What was filled in, of the types that the schema names. */
function typed(form, fields) {
  const data = {};
  for (const { name, type, kind, options, values, required, label } of fields) {
    const control = form.elements.namedItem(name);
    if (type === "checkbox") {
      if (control.checked || required) data[name] = control.checked;
    } else if (control.value !== "") {
      if (options) data[name] = values[options.indexOf(control.value)];
      else if (type === "number") data[name] = kind === "integer" ? Math.trunc(control.valueAsNumber) : control.valueAsNumber;
      else if (type === "json") data[name] = parsed(control.value, label);
      else data[name] = control.value;
    }
  }
  return data;
}

function parsed(text, label) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`${label}: this is no JSON`);
  }
}

/** A form for a command of an adapter's own. */
export function askExtension(object, { name, data: schema }) {
  const fields = schemaFields(schema);
  fields.showAnswer = true;
  return ask({
    title: titleOf(name), intro: schema.description ?? name, fields, submit: "Send", read: typed,
    onsubmit: (data) => object.extension(name, data),
  });
}

/** `session.request.acme.do.it` as words. */
export function titleOf(name) {
  const words = name.split(".").slice(3).join(" ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** The commands of the adapter's own for one object: one is asked for at once, of several one is chosen. */
export async function chooseExtension(object, commands) {
  const chosen = await open((close) => h("div", { class: "dialog-body" },
    heading("More commands", close),
    h("ul", { class: "choices" }, commands.map((command) => h("li", null,
      h("button", { type: "button", class: "choice", onclick: () => close(command) },
        h("strong", null, titleOf(command.name)), h("code", null, command.name)))))));
  if (chosen) await askExtension(object, chosen);
}

// ---- what the platform must know

/**
 * Asks what a platform must know: `uiExtension` has a list of things to choose one of, such as `skills`. The answer is
 * `{skill: {id}}`, or null. Where there is no such list, the answer is written as JSON.
 */
export async function askInfo({ command, uiExtension }) {
  const list = Object.entries(uiExtension).find(([, value]) => Array.isArray(value) && value.every((item) => item?.id !== undefined));
  const verb = command.split(".").pop();
  if (!list) {
    let answer = null;
    await ask({
      title: "The platform must know more", intro: JSON.stringify(uiExtension), submit: "Answer", read: typed,
      fields: [{ name: "extensions", label: "Answer", type: "json", kind: "object", required: true }],
      onsubmit: (data) => { answer = data.extensions; },
    });
    return answer;
  }
  const [plural, items] = list;
  const one = plural.replace(/s$/, "");
  const id = await open((close) => h("form", {
    class: "dialog-body",
    onsubmit: (event) => { event.preventDefault(); close(new FormData(event.currentTarget).get("chosen")); },
  },
    heading(`Choose a ${one}`, close),
    h("p", null, `Needed to ${verb}.`),
    items.length > 8 && h("div", { class: "field" },
      h("label", { for: "choose-filter" }, "Filter"),
      h("input", { id: "choose-filter", type: "search", oninput: (event) => {
        const wanted = event.currentTarget.value.toLowerCase();
        for (const label of event.currentTarget.form.querySelectorAll(".radio")) label.hidden = !label.textContent.toLowerCase().includes(wanted);
      } })),
    h("fieldset", { class: "radios" }, h("legend", { class: "unseen" }, plural), items.map((item, place) => h("label", { class: "radio" },
      h("input", { type: "radio", name: "chosen", value: String(place), required: true, checked: place === 0 }),
      h("span", null, String(item[`${one}Name`] ?? item.name ?? item.id))))),
    h("footer", { class: "dialog-foot" },
      h("button", { type: "button", class: "button quiet", onclick: () => close() }, "Cancel"),
      h("button", { type: "submit", class: "button main" }, "Continue"))));
  return id === null ? null : { [one]: { id: items[Number(id)].id } };
}
