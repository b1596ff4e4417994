// The page before there is a session: who logs in, and where.

import { h } from "./dom.js";
import { field } from "./dialogs.js";
import { icon } from "./icons.js";

/** The log-in form. `start` holds what it begins with; `submit` gets what was filled in. */
export function loginPage({ start, busy, problem, notice, submit, theme }) {
  const send = (event) => {
    event.preventDefault();
    submit(Object.fromEntries(new FormData(event.currentTarget)));
  };
  return h("main", { key: "login", class: "login" },
    h("div", { class: "login-card" },
      h("header", { class: "login-head" },
        h("img", { src: "icon.svg", alt: "", width: 44, height: 44 }),
        h("h1", null, "Jackfield console"),
        h("p", null, "A desktop in the browser: for trying things out, and for support.")),
      notice && h("p", { key: "notice", class: "notice", role: "status" }, notice),
      h("form", { key: "form", onsubmit: send },
        h("div", { class: "own", own: true },
          field({ name: "tenant", label: "Tenant", required: true, value: start.tenant ?? "", placeholder: "demo", autocomplete: "organization" }),
          field({ name: "agent", label: "Agent", required: true, value: start.agent ?? "", autocomplete: "username" }),
          field({ name: "password", label: "Password", type: "password", autocomplete: "current-password" }),
          h("details", { class: "more", open: Boolean(start.extension || start.token) },
            h("summary", null, "Extension and token"),
            field({ name: "extension", label: "Extension", value: start.extension ?? "", hint: "Where the platform wants the agent's telephone at log-in" }),
            field({ name: "token", label: "API token", type: "password", hint: "Where the tenant asks for one" }))),
        h("p", { key: "problem", class: "problem", role: "alert" }, problem ?? ""),
        h("button", { key: "go", type: "submit", class: "button main wide", disabled: busy }, busy ? "Logging in…" : "Log in"))),
    h("button", { key: "theme", type: "button", class: "button bare corner", onclick: theme, "aria-label": "Switch between light and dark" }, icon("theme")));
}
