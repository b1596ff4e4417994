// A browser, and what an agent does in the console.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { chromium } from "playwright-core";

import { ROOT } from "./harness.js";

const CHROMIUM = process.env.CHROMIUM ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
/** Where screenshots are kept: artefacts of the tests. */
const PICTURES = process.env.JACKFIELD_PICTURES ?? join(ROOT, "target/desktops");
const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

export async function launch() {
  if (!CHROMIUM) throw new Error("there is no Chromium: apt-get install chromium, or set CHROMIUM");
  await mkdir(PICTURES, { recursive: true });
  return chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"] });
}

/** A console in a tab of its own. `problems` are what the browser complained of. */
export class Console {
  static async open(browser, url, { theme = "light", width = 1280, height = 900 } = {}) {
    const context = await browser.newContext({ colorScheme: theme, viewport: { width, height }, permissions: ["clipboard-read", "clipboard-write"] });
    const it = new Console();
    Object.assign(it, { context, url, problems: [] });
    it.page = await context.newPage();
    it.page.setDefaultTimeout(15_000);
    it.page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) it.problems.push(message.text());
    });
    it.page.on("pageerror", (error) => it.problems.push(error.stack));
    return it;
  }

  async end() {
    await this.context.close();
  }

  button(name, within = this.page) {
    return within.getByRole("button", { name, exact: true });
  }

  get dialog() {
    return this.page.locator("dialog[open]");
  }

  get contact() {
    return this.page.locator(".contact").first();
  }

  call(role = "Call") {
    return this.page.locator(".conversation").filter({ has: this.page.getByRole("heading", { name: role, exact: true }) });
  }

  channel(endpoint) {
    return this.page.locator(".channel").filter({ has: this.page.getByRole("heading", { name: endpoint, exact: true }) });
  }

  async logIn(agent, tenant = "demo") {
    await this.page.goto(`${this.url}/console/?tenant=${tenant}&agent=${agent}`);
    await this.page.getByLabel("Password").fill("any");
    await this.button("Log in").click();
    await this.page.getByRole("heading", { name: "Channels" }).waitFor();
  }

  async addChannel(endpoint, { type = "Telephony", ready = true } = {}) {
    await this.button("Channel").click();
    await this.dialog.getByLabel("Type").selectOption(type);
    await this.dialog.getByLabel("Endpoint").fill(endpoint);
    await this.button("Add", this.dialog).click();
    await this.dialog.waitFor({ state: "detached" });
    if (!ready) return;
    await this.button("Ready", this.channel(endpoint)).click();
    await this.channel(endpoint).locator(".chip", { hasText: /^Ready$/ }).waitFor();
  }

  /** Fills in the form of a command of the adapter's own and sends it. */
  async command(name, data, opener = this.button("Commands")) {
    await opener.click();
    await this.dialog.getByRole("button", { name }).first().click();
    for (const [label, value] of Object.entries(data)) {
      const field = this.dialog.getByLabel(label);
      if (await field.evaluate((element) => element.tagName === "SELECT")) await field.selectOption(value);
      else if (typeof value === "boolean") await field.setChecked(value);
      else await field.fill(value);
    }
    await this.button("Send", this.dialog).click();
    // An answer that says something stays until it was read.
    await this.dialog.locator(".answer").or(this.page.locator("body:not(:has(dialog[open]))")).first().waitFor();
    if (await this.dialog.count()) await this.button("Cancel", this.dialog).click();
  }

  arrives(more = {}) {
    return this.command("Inbound", { from: "+15550100", type: "Telephony", ...more });
  }

  /** Fills in the one field that a command asks for. */
  async give(button, label, value) {
    await button.click();
    await this.dialog.getByLabel(label).fill(value);
    await this.dialog.locator("button[type=submit]").click();
    await this.dialog.waitFor({ state: "detached" });
  }

  async shows(text, within = this.page) {
    await within.getByText(text, { exact: true }).first().waitFor();
  }

  async picture(name) {
    await this.page.screenshot({ path: join(PICTURES, `${name}.png`), animations: "disabled" });
  }

  /** Nothing on the page keeps anybody from using it, as far as axe can tell. */
  async isAccessible(what) {
    await this.page.evaluate(() => Promise.all(document.getAnimations().filter((each) => each.effect.getTiming().iterations === 1).map((each) => each.finished)));
    // In a world of its own, which the page's policy does not bind.
    const client = await this.context.newCDPSession(this.page);
    const { frameTree } = await client.send("Page.getFrameTree");
    const { executionContextId: contextId } = await client.send("Page.createIsolatedWorld", { frameId: frameTree.frame.id, worldName: "axe" });
    const { readFile } = await import("node:fs/promises");
    await client.send("Runtime.evaluate", { contextId, expression: await readFile(AXE, "utf8") });
    const { result, exceptionDetails } = await client.send("Runtime.evaluate", {
      contextId, awaitPromise: true, returnByValue: true,
      expression: "axe.run({ resultTypes: ['violations'] }).then(({ violations }) => violations.map(({ id, help, nodes }) => ({ id, help, where: nodes.map(({ html, failureSummary }) => html.slice(0, 160) + ' — ' + failureSummary) })))",
    });
    await client.detach();
    assert.equal(exceptionDetails, undefined, JSON.stringify(exceptionDetails));
    assert.deepEqual(result.value, [], what);
  }

  /** There is a button for every command that the host allows this object now, and none else. */
  async hasButtonsFor(target, actions) {
    const there = await this.page.locator(`[data-target="${target}"] [data-command]`).evaluateAll((buttons) => buttons.map(({ dataset }) => dataset.command));
    assert.deepEqual([...there].sort(), [...actions].sort());
  }
}
