// How responsive the console stays in a burst of events, with the list of messages open: `node bench.js`.
//
// A task's time on the clock is also that of whatever else the machine does; its time on the processor, how often the page
// was drawn and how many nodes of it were changed are the page's own.

import { Console, launch } from "./browser.js";
import { Host, until } from "./harness.js";
import { Proxy } from "./proxy.js";

const EVENTS = 1_000;

/** What the page does while `work` goes on, measured by the browser. */
async function measured(it, work) {
  const client = await it.context.newCDPSession(it.page);
  const events = [];
  client.on("Tracing.dataCollected", ({ value }) => events.push(...value));
  await it.page.evaluate(() => {
    globalThis.touched = 0;
    globalThis.observer = new MutationObserver((records) => { globalThis.touched += records.length; });
    globalThis.observer.observe(document.body, { subtree: true, childList: true, attributes: true, characterData: true });
  });
  await client.send("Tracing.start", { transferMode: "ReportEvents", traceConfig: { includedCategories: ["toplevel", "devtools.timeline"] } });
  const started = Date.now();
  await work();
  const took = Date.now() - started;
  const complete = new Promise((resolve) => client.once("Tracing.tracingComplete", resolve));
  await client.send("Tracing.end");
  await complete;
  await client.detach();
  const touched = await it.page.evaluate(() => { globalThis.observer.disconnect(); return globalThis.touched; });
  const threads = new Map(events.filter(({ name }) => name === "thread_name").map(({ pid, tid, args }) => [`${pid} ${tid}`, args.name]));
  const main = events.filter(({ ph, pid, tid }) => ph === "X" && threads.get(`${pid} ${tid}`) === "CrRendererMain");
  const tasks = main.filter(({ name }) => name.endsWith("RunTask"));
  const most = (member) => (Math.max(0, ...tasks.map((task) => task[member] ?? 0)) / 1_000).toFixed(0);
  const frames = main.filter(({ name }) => name === "FireAnimationFrame").length;
  return `in ${took} ms: the longest task took ${most("tdur")} ms of processor time, ${most("dur")} ms on the clock; ${frames} frames were drawn, ${touched} nodes changed`;
}

const host = await Host.start();
const proxy = await Proxy.before(host.port);
const browser = await launch();
try {
  const it = await Console.open(browser, proxy.url);
  await it.logIn("1");
  await it.addChannel("1");
  await it.arrives();
  await it.button("Answer").click();
  await it.shows("Talking", it.call());
  await it.button("Messages").click();
  const target = await it.contact.getAttribute("data-target");
  const session = target.split(".")[0];
  let value = 0;
  const send = () => fetch(`${host.url}/v1/tenants/demo/sessions/${session}/commands`, {
    method: "POST", body: JSON.stringify({ command: "interaction.request.setinteractiondata", target, data: { key: `key ${value % 40}`, value: value += 1 } }),
  });
  const sendAll = async () => { for (let sent = 0; sent < EVENTS; sent += 20) await Promise.all(Array.from({ length: 20 }, send)); };
  const shown = () => until("the last event is shown", async () => (await it.contact.textContent()).includes(String(value)), 60_000);
  console.log(`${EVENTS} events as fast as the host takes them, ${await measured(it, async () => { await sendAll(); await shown(); })}`);
  let release;
  proxy.held = new Promise((resolve) => { release = resolve; });
  await sendAll();
  console.log(`${EVENTS} events at once, ${await measured(it, async () => { release(); proxy.held = null; await shown(); })}`);
} finally {
  await browser.close();
  await proxy.end();
  await host.end();
}
