// `jackfield demo`: a call in the first minute.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { test } from "node:test";

import { Console, launch } from "./browser.js";
import { PROGRAM, until } from "./harness.js";

test("the demo prints two consoles; who logs in there gets calls, and the two can consult each other", { timeout: 120_000 }, async () => {
  const demo = spawn(PROGRAM, ["demo", "--address", "127.0.0.1:0"]);
  let said = "";
  for (const stream of [demo.stdout, demo.stderr]) stream.on("data", (text) => { said += text; });
  const ended = new Promise((resolve) => { demo.once("exit", resolve); });
  const browser = await launch();
  try {
    const addresses = await until("two addresses", () => {
      assert.equal(demo.exitCode, null, said);
      const found = said.match(/http:\S+/g);
      return found?.length === 2 && found;
    });
    const desks = [];
    for (const address of addresses) {
      const desk = await Console.open(browser, new URL(address).origin);
      await desk.page.goto(address);
      await desk.button("Log in").click();
      await desk.page.locator(".channel .chip", { hasText: /^Ready$/ }).nth(2).waitFor();
      desks.push(desk);
    }
    const answer = (desk) => desk.contact.getByRole("button", { name: /^(Answer|Accept)$/ }).first();
    const taker = await until("a call arrives", async () => {
      for (const desk of desks) {
        if (!(await answer(desk).isVisible())) continue;
        await answer(desk).click();
        if (await desk.page.getByText("Talking").waitFor({ timeout: 2_000 }).then(() => true, () => false)) return desk;
      }
      return null;
    }, 60_000);
    await taker.give(taker.button("Consult"), "Number or endpoint", taker === desks[0] ? "2002" : "2001");
    const other = desks.find((desk) => desk !== taker);
    await other.page.locator(".contact", { hasText: "internal" }).getByRole("button", { name: "Answer" }).click();
    await taker.shows("Talking", taker.call("Consult"));
    await taker.picture("demo");
    for (const { problems } of desks) assert.deepEqual(problems, []);
  } finally {
    await browser.close();
    demo.kill("SIGINT");
    assert.equal(await ended, 0, said);
  }
});
