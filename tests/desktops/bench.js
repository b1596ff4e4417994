// How responsive the console stays in a burst of events: `node bench.js` prints the longest task of the page.

import { Console, launch } from "./browser.js";
import { Host, until } from "./harness.js";

const EVENTS = 1_000;
const host = await Host.start();
const browser = await launch();
try {
  const it = await Console.open(browser, host.url);
  await it.logIn("1");
  await it.addChannel("1");
  await it.arrives();
  await it.button("Answer").click();
  await it.shows("Talking", it.call());
  await it.button("Messages").click();
  const target = await it.contact.getAttribute("data-target");
  const session = target.split(".")[0];
  await it.page.evaluate(() => {
    globalThis.longest = 0;
    new PerformanceObserver((list) => list.getEntries().forEach(({ duration }) => { globalThis.longest = Math.max(globalThis.longest, duration); })).observe({ type: "longtask" });
  });
  const started = Date.now();
  const send = (value) => fetch(`${host.url}/v1/tenants/demo/sessions/${session}/commands`, {
    method: "POST", body: JSON.stringify({ command: "interaction.request.setinteractiondata", target, data: { key: `key ${value % 40}`, value } }),
  });
  for (let sent = 0; sent < EVENTS; sent += 20) await Promise.all(Array.from({ length: 20 }, (_, each) => send(sent + each)));
  await until("the last event is shown", async () => (await it.contact.textContent()).includes(String(EVENTS - 1)));
  const took = Date.now() - started;
  await it.page.waitForTimeout(300);
  const longest = await it.page.evaluate(() => globalThis.longest);
  console.log(`${EVENTS} events in ${took} ms with the messages open: the longest task took ${longest ? `${longest} ms` : "less than 50 ms"}`);
} finally {
  await browser.close();
  await host.end();
}
