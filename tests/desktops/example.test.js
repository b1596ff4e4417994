// The example page, as its README says: served from somewhere else than the host.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { test } from "node:test";
import WebSocket from "ws";

import { connect } from "../../host/client/jackfield-client.js";
import { launch } from "./browser.js";
import { Host, ROOT, until } from "./harness.js";

const CLIENT = join(ROOT, "host/client");
const TYPES = { ".html": "text/html", ".js": "text/javascript" };

async function serve() {
  const server = createServer(async ({ url }, answer) => {
    const path = url.endsWith("/") ? `${url}index.html` : url;
    const body = await readFile(join(CLIENT, path)).catch(() => null);
    answer.writeHead(body ? 200 : 404, { "content-type": TYPES[extname(path)] ?? "text/plain" }).end(body);
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return { origin: `http://127.0.0.1:${server.address().port}`, server };
}

test("the example has forty lines", async () => {
  const lines = (await readFile(join(CLIENT, "examples/desk.js"), "utf8")).split("\n").filter((line) => line.trim());
  assert.ok(lines.length <= 40, `${lines.length}`);
});

test("an agent takes a call in the example, holds it, consults, transfers and completes", async () => {
  const { origin, server } = await serve();
  const host = await Host.start({ listener: `origins = ["${origin}"]` });
  const browser = await launch();
  try {
    const page = await browser.newPage();
    const problems = [];
    page.on("pageerror", (error) => problems.push(error.stack));
    page.on("console", (message) => { if (message.type() === "error" && !/favicon/.test(message.location().url)) problems.push(message.text()); });
    page.on("dialog", (dialog) => dialog.accept("2002"));
    const logIn = async () => {
      await page.goto(`${origin}/examples/`);
      await page.getByLabel("Host").fill(host.url);
      await page.getByRole("button", { name: "Log in" }).click();
      await page.getByText("2001 READY").waitFor();
    };
    await logIn();

    const colleague = await connect({ url: host.url, tenant: "demo", agent: { id: "1002", password: "any" }, WebSocket });
    await colleague.addchannel({ channel: { endpoint: "2002", type: "Telephony" } });
    const telephone = await colleague.until(() => colleague.channels[0]);
    await telephone.activate();
    await telephone.ready();
    await telephone.notready({ reasoncode: "lunch" });
    await colleague.extension("session.request.simulator.inbound", { type: "Telephony", from: "+15550100", queue: "sales" });

    const press = (name) => page.getByRole("button", { name, exact: true }).first().click();
    await press("answer");
    await press("hold");
    // The page is loaded again in the middle of the call, whose session is ended for a new one.
    await page.getByRole("button", { name: "retrieve" }).waitFor();
    await logIn();
    await press("retrieve");
    await press("consult");
    const consult = await colleague.until(() => colleague.interactions[0]);
    await consult.conversations[0].answer();
    await press("consulttransfer");
    await colleague.until(() => consult.conversations[0].members.some(({ address }) => address === "+15550100"));
    await press("complete");
    await until("nothing is left", async () => (await page.locator("section").count()) === 0);
    assert.deepEqual(problems, []);
    await colleague.logout();
  } finally {
    await browser.close();
    await host.end();
    server.close();
  }
});
