// The console in a real browser, as agents use it.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";

import { Console, launch } from "./browser.js";
import { Host, until } from "./harness.js";
import { Proxy, withoutWebSockets } from "./proxy.js";

let browser;
let host;
let consoles = [];
let agents = 3000;

before(async () => {
  browser = await launch();
  host = await Host.start();
});
after(async () => {
  await browser?.close();
  await host?.end();
});
afterEach(async () => {
  for (const it of consoles.splice(0)) {
    const { page } = it;
    if (await page.getByRole("button", { name: "Log out" }).isEnabled().catch(() => false)) {
      await page.getByRole("button", { name: "Log out" }).click();
      await page.getByText("You are logged out.").waitFor();
    }
    await it.end();
  }
});

/** An agent at a console, logged in; with a telephone that is ready. */
async function atWork({ url = host.url, telephone = true, ...how } = {}) {
  const it = await Console.open(browser, url, how);
  consoles.push(it);
  it.agent = String(++agents);
  await it.logIn(it.agent);
  it.endpoint = `8${it.agent}`;
  if (telephone) await it.addChannel(it.endpoint);
  return it;
}

async function inCall(how) {
  const it = await atWork(how);
  await it.arrives();
  await it.button("Answer").click();
  await it.shows("Talking", it.call());
  return it;
}

const hasNoProblems = (it) => assert.deepEqual(it.problems, []);

/** The same where the network was taken away: the browser says so in words of its own, which of them depends on the moment. */
const hasNoProblemsButTheNetworks = (it) =>
  assert.deepEqual(it.problems.filter((text) => !/net::ERR_|WebSocket connection/.test(text)), []);

describe("an agent at work", () => {
  test("takes a call, holds and retrieves it, sends digits, sets data and a disposition, and completes it", async () => {
    const it = await atWork();
    await it.arrives({ name: "Ada Example", queue: "sales", data: '{"account":"A-1277"}' });
    await it.button("Answer").waitFor();
    await until("the title calls", async () => /Incoming: Ada Example/.test(await it.page.title()));
    await it.picture("offer");
    await it.button("Answer").click();
    await it.shows("Talking", it.call());
    await it.shows("A-1277", it.contact);
    await until("the title is at rest", async () => (await it.page.title()) === "Jackfield console");
    await it.button("Hold").click();
    await it.shows("On hold", it.call());
    await it.button("Retrieve").click();
    await it.shows("Talking", it.call());
    await it.button("Mute").click();
    await it.shows("Muted", it.call());
    await it.button("Unmute").click();
    await it.button("Mute").waitFor();
    await it.button("Keypad").click();
    await it.button("5", it.call()).click();
    await it.page.getByRole("group", { name: "Keypad" }).press("#");
    await it.button("Record").click();
    await it.shows("Recording", it.contact);
    await it.button("Pause recording").click();
    await it.shows("Recording paused", it.contact);
    await it.button("Set data").click();
    await it.dialog.getByLabel("Key").fill("outcome");
    await it.dialog.getByLabel("Value").fill("will call again");
    await it.button("Set data", it.dialog).click();
    await it.shows("will call again", it.contact);
    await it.give(it.button("Disposition"), "Disposition", "Sold");
    await it.picture("call");
    await it.button("Release").click();
    await it.shows("Ended", it.contact);
    await it.button("Complete").click();
    await it.contact.waitFor({ state: "detached" });
    hasNoProblems(it);
  });

  test("is told why a command failed, and can try again where it was asked for", async () => {
    const it = await atWork();
    await it.button("Not ready").click();
    await it.dialog.getByLabel("Reason code").fill("no such reason");
    await it.button("Not ready", it.dialog).click();
    await it.dialog.getByText(/rejected/).waitFor();
    await it.dialog.getByLabel("Reason code").fill("lunch");
    await it.button("Not ready", it.dialog).click();
    await it.shows("Not ready: Lunch", it.channel(it.endpoint));
    hasNoProblems(it);
  });

  test("chooses what the platform lists: a reason, a disposition, a colleague whose presence is seen as it changes", async () => {
    const [one, other] = [await inCall(), await atWork()];
    const choice = (it, name) => it.dialog.getByRole("button", { name });
    await one.button("Consult").click();
    const colleague = one.dialog.locator(`[data-entry="agent:${other.agent}"]`);
    await colleague.getByText("Ready", { exact: true }).waitFor();
    await other.button("Not ready").click();
    await choice(other, "Short break").click();
    await other.button("Not ready", other.dialog).click();
    await colleague.getByText("Not ready: Short break").waitFor();
    await other.shows("Not ready: Short break", other.channel(other.endpoint));
    await one.picture("destinations");
    await one.isAccessible("somebody to call is chosen");
    await colleague.click();
    await one.button("Consult", one.dialog).click();
    await other.button("Answer").click();
    await one.shows("Talking", one.call("Consult"));
    await one.button("Disposition").click();
    await choice(one, "Call back").click();
    await one.button("Disposition", one.dialog).click();
    await one.dialog.waitFor({ state: "detached" });
    for (const it of [one, other]) hasNoProblems(it);
  });

  test("sees a button for each action that is allowed now, and no other", async () => {
    const it = await inCall();
    const [contact, call] = await Promise.all([it.contact, it.call()].map((each) => each.getAttribute("data-target")));
    await it.hasButtonsFor(call, ["hold", "mute", "senddtmf", "blindtransfer", "blindconference", "release"].map((verb) => `conversation.request.${verb}`));
    const own = it.page.locator(`[data-target="${contact}"] > .buttons [data-command]`);
    const there = await own.evaluateAll((buttons) => buttons.map(({ dataset }) => dataset.command));
    assert.deepEqual(there.sort(), ["consult", "recording.start", "setdisposition", "setinteractiondata"].map((verb) => `interaction.request.${verb}`));
    await it.button("Hold").click();
    await it.shows("On hold", it.call());
    await it.hasButtonsFor(call, ["retrieve", "mute", "blindtransfer", "release"].map((verb) => `conversation.request.${verb}`));
  });

  test("consults a colleague and hands the caller over", async () => {
    const [one, other] = [await inCall(), await atWork()];
    await one.give(one.button("Consult"), "Number or endpoint", other.endpoint);
    await other.button("Answer").click();
    await one.shows("Talking", one.call("Consult"));
    await one.shows("On hold", one.call());
    await one.shows("Focus", one.call("Consult"));
    await one.picture("consult");
    await one.button("Swap").click();
    await one.shows("Talking", one.call());
    await one.button("Swap").click();
    await one.shows("Talking", one.call("Consult"));
    await one.button("Complete transfer").click();
    await one.shows("Transferred", one.contact);
    await other.shows("+15550100", other.call());
    await one.button("Complete").click();
    await one.contact.waitFor({ state: "detached" });
    [one, other].forEach(hasNoProblems);
  });

  test("is told why a consult came to nothing, and goes on with the caller", async () => {
    const it = await inCall();
    await it.give(it.button("Consult"), "Number or endpoint", "486");
    await it.page.getByText(/Consult: .*busy/).waitFor();
    await it.call("Consult").waitFor({ state: "detached" });
    await it.button("Retrieve").click();
    await it.shows("Talking", it.call());
    hasNoProblems(it);
  });

  test("brings caller and colleague together in a conference", async () => {
    const [one, other] = [await inCall(), await atWork()];
    await one.give(one.button("Consult"), "Number or endpoint", other.endpoint);
    await other.button("Answer").click();
    await one.button("Conference").click();
    await one.shows("Conference", one.contact.locator(".contact-state"));
    await one.call("Consult").waitFor({ state: "detached" });
    assert.equal(await one.page.locator(".toast").count(), 0, "the consult goes on in the conference, which is no news of an end");
    const members = one.call().locator(".members li");
    assert.equal(await members.count(), 2);
    // One of them alone.
    const colleague = members.filter({ hasText: other.endpoint });
    const name = await colleague.locator(".member-name").textContent();
    await one.button(`Mute ${name}`).click();
    await one.shows("Muted", colleague);
    await one.button(`Hold ${name}`).click();
    await one.shows("On hold", colleague);
    await one.picture("conference");
    await one.isAccessible("a member of a conference is muted and held");
    await one.button(`Unmute ${name}`).click();
    await colleague.getByText("Muted", { exact: true }).waitFor({ state: "detached" });
    await one.button(`Remove ${name}`).click();
    await one.button("Remove", one.dialog).click();
    await members.nth(1).waitFor({ state: "detached" });
    await other.shows("The contact is over", other.contact);
    await one.shows("Talking", one.call());
    assert.equal(await members.getByRole("button").count(), 0, "it is no conference any more");
    [one, other].forEach(hasNoProblems);
  });

  test("hears a colleague's call, speaks to him alone, and is let go when it ends", async () => {
    const [one, supervisor] = [await inCall(), await atWork()];
    const hears = async (mode, told) => {
      await supervisor.button("Supervise").click();
      await supervisor.dialog.locator(`[data-entry="agent:${one.agent}"]`).click();
      await supervisor.dialog.getByLabel("What you do").selectOption(mode);
      await supervisor.button("Do it", supervisor.dialog).click();
      await supervisor.dialog.waitFor({ state: "detached" });
      await supervisor.shows(`${told} ${one.agent}`, supervisor.contact);
    };
    await hears("listen", "Listening to");
    await hears("whisper", "Whispering to");
    await supervisor.picture("supervision");
    await supervisor.isAccessible("a supervision");
    const heard = await supervisor.call().getAttribute("data-target");
    await supervisor.hasButtonsFor(heard, ["mute", "release"].map((verb) => `conversation.request.${verb}`));
    await one.button("Release").click();
    await supervisor.shows("Ended", supervisor.contact);
    await supervisor.button("Complete").click();
    for (const it of [one, supervisor]) hasNoProblems(it);
  });

  test("lets a colleague pause and go on", async () => {
    const [one, supervisor] = [await atWork(), await atWork()];
    const does = async (deed, reason) => {
      await supervisor.button("Supervise").click();
      await supervisor.dialog.locator(`[data-entry="agent:${one.agent}"]`).click();
      await supervisor.dialog.getByLabel("What you do").selectOption(deed);
      if (reason) await supervisor.dialog.getByLabel("Reason code").fill(reason);
      await supervisor.button("Do it", supervisor.dialog).click();
    };
    await does("not ready");
    await supervisor.dialog.getByRole("alert").getByText("reasoncode").waitFor();
    await supervisor.isAccessible("a colleague is to pause");
    await supervisor.picture("colleague");
    await supervisor.button("Cancel", supervisor.dialog).click();
    await does("not ready", "lunch");
    await supervisor.dialog.waitFor({ state: "detached" });
    await one.shows("Not ready", one.channel(one.endpoint));
    await does("ready");
    await supervisor.dialog.waitFor({ state: "detached" });
    await one.button("Not ready", one.channel(one.endpoint)).waitFor();
    for (const it of [one, supervisor]) hasNoProblems(it);
  });

  test("transfers a call without asking", async () => {
    const [one, other] = [await inCall(), await atWork()];
    await one.give(one.button("Transfer"), "Number or endpoint", other.endpoint);
    await one.shows("Transferred", one.contact);
    await other.button("Answer").click();
    await other.shows("+15550100", other.call());
    [one, other].forEach(hasNoProblems);
  });

  test("is asked for what the platform must know", async () => {
    const it = await atWork();
    await it.command("Askskill", { on: true }, it.button("More commands", it.channel(it.endpoint)));
    await it.button("Dial", it.channel(it.endpoint)).click();
    await it.dialog.getByLabel("Number or endpoint").fill("5551234");
    await it.button("Dial", it.dialog).click();
    const question = it.page.locator("dialog[open]", { has: it.page.getByRole("heading", { name: "Choose a skill" }) });
    await question.getByRole("radio").nth(1).check();
    await it.picture("needinfo");
    await it.isAccessible("the question");
    await it.button("Continue", question).click();
    await it.shows("Talking", it.call());
    hasNoProblems(it);
  });

  test("takes a chat and an e-mail", async () => {
    const it = await atWork({ telephone: false });
    await it.addChannel(`${it.agent}-chat`, { type: "Chat" });
    await it.addChannel(`${it.agent}@desk.example`, { type: "Email" });
    for (const [type, from] of [["Chat", "visitor-1"], ["Email", "bob@example.com"]]) {
      await it.arrives({ type, from });
      await it.button("Accept").click();
      await it.shows("In progress", it.contact);
    }
    assert.equal(await it.page.locator(".contact").count(), 2);
    for (let left = 2; left > 0; left -= 1) {
      await it.button("Complete", it.contact).click();
      await until("it is gone", async () => (await it.page.locator(".contact").count()) === left - 1);
    }
    hasNoProblems(it);
  });

  test("does all of it by keyboard, and the focus stays where it was", async () => {
    const it = await atWork();
    await it.arrives();
    await it.button("Answer").focus();
    await it.page.keyboard.press("Enter");
    await it.shows("Talking", it.call());
    await it.button("Hold").focus();
    await it.page.keyboard.press("Space");
    await it.shows("On hold", it.call());
    assert.equal(await it.page.evaluate(() => document.activeElement.dataset.command), "conversation.request.retrieve");
    await it.page.keyboard.press("Space");
    await it.shows("Talking", it.call());
    await it.button("Consult").focus();
    await it.page.keyboard.press("Enter");
    await it.page.keyboard.type("5552000");
    await it.page.keyboard.press("Enter");
    await it.shows("Talking", it.call("Consult"));
    assert.notEqual(await it.page.evaluate(() => document.activeElement.tagName), "BODY");
    hasNoProblems(it);
  });

  test("reads the messages, finds and copies them", async () => {
    const it = await atWork();
    await it.button("Messages").click();
    await it.page.getByLabel("Filter messages").fill('"command":"channel.request.ready"');
    await until("only what is looked for", async () => (await it.page.locator(".message").count()) === 2);
    await it.page.locator(".message summary").first().click();
    await it.button("Copy").click();
    const copied = JSON.parse(await it.page.evaluate(() => navigator.clipboard.readText()));
    assert.equal(copied.command, "channel.request.ready");
    assert.ok(!(await it.page.locator(".message-list").textContent()).includes('"any"'));
    hasNoProblems(it);
  });
});

describe("when something goes away", () => {
  /** What an agent sees of a call. */
  const seen = (it) => it.page.evaluate(() => [...document.querySelectorAll(".contact, .conversation")].map((element) =>
    [element.getAttribute("aria-label"), ...[...element.querySelectorAll("dd, .member-name, [data-since]")].map((each) => each.dataset.since ?? each.textContent)]));

  test("a page that is loaded again in the middle of a call has everything back, times included", async () => {
    const it = await inCall();
    await it.button("Hold").click();
    await it.shows("On hold", it.call());
    const before = await seen(it);
    await it.page.reload();
    await it.shows("On hold", it.call());
    assert.deepEqual(await seen(it), before);
    await it.button("Retrieve").click();
    await it.shows("Talking", it.call());
    hasNoProblems(it);
  });

  test("a network that is cut and restored loses nothing", async () => {
    const proxy = await Proxy.before(host.port);
    try {
      const it = await inCall({ url: proxy.url });
      proxy.refuses = true;
      proxy.cut();
      await it.page.getByText("The connection is lost; coming back.").waitFor();
      await it.picture("reconnecting");
      assert.ok(await it.button("Hold").isDisabled());
      proxy.refuses = false;
      await it.shows("Connected");
      await it.button("Hold").click();
      await it.shows("On hold", it.call());
      hasNoProblemsButTheNetworks(it);
      await it.button("Log out").click();
      await it.shows("You are logged out.");
    } finally {
      await proxy.end();
    }
  });

  test("where a proxy lets no WebSocket through, the agent works all the same", async () => {
    const proxy = await withoutWebSockets(host.port);
    try {
      const it = await inCall({ url: proxy.url });
      await it.button("Hold").click();
      await it.shows("On hold", it.call());
      await it.button("Log out").click();
      await it.shows("You are logged out.");
      assert.ok(proxy.upgrades > 0, "one was tried");
      hasNoProblemsButTheNetworks(it);
    } finally {
      await proxy.end();
    }
  });

  test("a page that closes its WebSocket sees it closed cleanly, with its own code", async () => {
    const it = await Console.open(browser, host.url);
    consoles.push(it);
    await it.page.goto(`${host.url}/console/`);
    const ends = await it.page.evaluate(async (url) => {
      const closed = (code) => new Promise((resolve) => {
        const socket = new WebSocket(url, ["jackfield.v1"]);
        socket.onopen = () => socket.close(code);
        socket.onclose = ({ code, wasClean }) => resolve([code, wasClean]);
      });
      return [await closed(1000), await closed(3456)];
    }, `${host.url.replace("http", "ws")}/v1/tenants/demo/ws`);
    assert.deepEqual(ends, [[1000, true], [3456, true]]);
    hasNoProblems(it);
  });

  test("a host that is restarted finds the agent logged in again, with his channels", async () => {
    const other = await Host.start();
    try {
      const it = await atWork({ url: other.url });
      await other.stop();
      await it.page.getByText("The connection is lost; coming back.").waitFor();
      await other.run();
      await it.shows("Connected");
      await it.channel(it.endpoint).locator(".chip", { hasText: /^Not ready$/ }).waitFor();
      await it.button("Ready", it.channel(it.endpoint)).click();
      await it.channel(it.endpoint).locator(".chip", { hasText: /^Ready$/ }).waitFor();
      await it.arrives();
      await it.button("Answer").click();
      await it.shows("Talking", it.call());
      hasNoProblemsButTheNetworks(it);
      // Before its host ends: the page needs a moment to notice that.
      await it.button("Log out").click();
      await it.shows("You are logged out.");
    } finally {
      await other.end();
    }
  });

  test("a link to the platform that is lost is told, and told to be back", async () => {
    const it = await inCall();
    await it.command("Link", { up: false, ms: "1500" });
    await it.shows("Platform link down");
    await it.shows("Connected");
    await it.shows("Talking", it.call());
    hasNoProblems(it);
  });

  test("a session that is opened in another window is let go, and can be taken back", async () => {
    const it = await inCall();
    const other = await Console.open(browser, host.url);
    await other.page.goto(`${host.url}/console/`);
    const noted = await it.page.evaluate(() => sessionStorage.getItem("jackfield-session"));
    await other.page.evaluate((text) => sessionStorage.setItem("jackfield-session", text), noted);
    await other.page.reload();
    await other.shows("Talking", other.call());
    await it.button("Take it back").click();
    await it.shows("Talking", it.call());
    await other.shows("Open somewhere else");
    await other.end();
  });

  test("an agent who is logged in somewhere else is asked about", async () => {
    const it = await atWork();
    const other = await Console.open(browser, host.url);
    await other.page.goto(`${host.url}/console/?tenant=demo&agent=${it.agent}`);
    await other.button("Log in").click();
    await other.button("End it and log in", other.dialog).click();
    await other.channel(it.endpoint).waitFor();
    await it.shows("The agent has logged in somewhere else.");
    await other.button("Log out").click();
    await other.shows("You are logged out.");
    await other.end();
  });
});

describe("everybody can use it", () => {
  for (const [theme, width] of [["light", 1280], ["dark", 1280], ["light", 380], ["dark", 380]]) {
    test(`axe finds nothing to complain of: ${theme}, ${width} pixels wide`, async () => {
      const it = await Console.open(browser, host.url, { theme, width });
      consoles.push(it);
      await it.page.goto(`${host.url}/console/?tenant=demo`);
      await it.button("Log in").waitFor();
      await it.picture(`login-${theme}-${width}`);
      await it.isAccessible("the log-in");
      it.agent = String(++agents);
      await it.logIn(it.agent);
      await it.isAccessible("an empty desk");
      await it.addChannel(`8${it.agent}`);
      await it.addChannel(`${it.agent}@desk.example`, { type: "Email" });
      await it.arrives();
      await it.button("Answer").click();
      await it.shows("Talking", it.call());
      await it.arrives({ type: "Email", from: "bob@example.com" });
      await it.button("Accept").waitFor();
      await it.isAccessible("an offer beside a call");
      await it.button("Keypad").click();
      await it.give(it.button("Consult"), "Number or endpoint", "5552000");
      await it.button("Swap").waitFor();
      await it.button("Messages").click();
      await it.page.locator(".message").first().waitFor();
      await until("they are in sight", () => it.page.getByRole("heading", { name: "Messages" }).evaluate((element) => {
        const { top, bottom } = element.getBoundingClientRect();
        return top >= 0 && bottom <= innerHeight && element.contains(document.elementFromPoint(element.getBoundingClientRect().left + 5, (top + bottom) / 2));
      }));
      await it.isAccessible("a consult beside an offer, with messages");
      await it.picture(`desk-${theme}-${width}`);
      const overflow = await it.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.equal(overflow, 0, "nothing is wider than the page");
      await it.button("Commands").click();
      await it.dialog.getByRole("button", { name: "Inbound" }).click();
      await it.isAccessible("a form made of a schema");
      await it.page.keyboard.press("Escape");
      hasNoProblems(it);
    });
  }

  test("the theme can be switched, and stays as it was chosen", async () => {
    const it = await atWork({ telephone: false });
    const ground = () => it.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await ground();
    await it.page.getByRole("button", { name: "Switch between light and dark" }).click();
    const dark = await ground();
    assert.notEqual(dark, light);
    await it.page.reload();
    await it.page.getByRole("heading", { name: "Channels" }).waitFor();
    assert.equal(await ground(), dark);
  });
});

describe("nobody can put anything into it", () => {
  const HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=1</script>\u202e"\'`${1}';

  test("hostile names and data are text", async () => {
    const it = await atWork();
    await it.arrives({ name: HOSTILE, from: HOSTILE, data: JSON.stringify({ [HOSTILE]: HOSTILE, __proto__x: "1", "constructor": HOSTILE, long: "x".repeat(5_000) }) });
    await it.button("Answer").click();
    await it.shows("Talking", it.call());
    await it.button("Messages").click();
    await it.page.locator(".message summary").last().click();
    const strangers = await it.page.evaluate(() => document.querySelectorAll("img:not([src='icon.svg']), #app script, iframe, [onerror]").length);
    assert.equal(strangers, 0);
    assert.ok((await it.contact.textContent()).includes(HOSTILE));
    assert.notEqual(await it.page.title(), "1");
    hasNoProblems(it);
  });

  test("only addresses of the web are opened", async () => {
    const it = await inCall();
    for (const [url, count] of [["javascript:document.title=1", 0], ["https://crm.example/42", 1]]) {
      await it.command(/^Cause/, { what: "screenpop", url });
      await until(`${url} is ${count ? "there" : "left out"}`, async () => (await it.contact.getByRole("link", { name: "Open page" }).count()) === count);
    }
    assert.equal(await it.contact.getByRole("link", { name: "Open page" }).getAttribute("href"), "https://crm.example/42");
  });

  test("the browser is told to run and load nothing but the console's own files", async () => {
    const { headers } = await fetch(`${host.url}/console/`);
    const policy = headers.get("content-security-policy");
    assert.match(policy, /default-src 'none'/);
    assert.match(policy, /require-trusted-types-for 'script'/);
    assert.doesNotMatch(policy, /unsafe/);
  });
});

describe("it is quick", () => {
  test("less than 100 KiB come before the first page is seen", async () => {
    const it = await Console.open(browser, host.url);
    consoles.push(it);
    const client = await it.context.newCDPSession(it.page);
    let bytes = 0;
    client.on("Network.loadingFinished", ({ encodedDataLength }) => { bytes += encodedDataLength; });
    await client.send("Network.enable");
    await it.page.goto(`${host.url}/console/`, { waitUntil: "networkidle" });
    await it.button("Log in").waitFor();
    console.log(`first page: ${(bytes / 1024).toFixed(1)} KiB`);
    assert.ok(bytes > 0 && bytes < 100 * 1024, `${bytes} bytes`);
  });

  test("a console is not served where the listener is not told to", async () => {
    const other = await Host.start({ listener: "console = false" });
    try {
      assert.equal((await fetch(`${other.url}/console/`)).status, 404);
    } finally {
      await other.end();
    }
  });
});
