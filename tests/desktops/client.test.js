// The client library against the real host: what it promises, whatever the network does.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, afterEach, before, describe, test } from "node:test";
import WebSocket from "ws";

import { connect } from "../../host/client/jackfield-client.js";
import { Host, until } from "./harness.js";
import { Proxy, withoutWebSockets } from "./proxy.js";

let host;
let proxy;
let agents = 1000;
const open = [];

before(async () => {
  host = await Host.start();
  proxy = await Proxy.before(host.port);
});
after(async () => {
  await proxy.end();
  await host.end();
});
afterEach(async () => {
  Object.assign(proxy, { delay: 0, swallows: "nothing", refuses: false, cutsAfter: Infinity });
  for (const session of open.splice(0)) {
    await until("it is open or closed", () => session.connection !== "reconnecting");
    if (session.connection === "open") await session.logout();
  }
});

async function logIn(options = {}) {
  const id = String(++agents);
  const session = await connect({
    url: proxy.url, tenant: "demo", agent: { id, password: "any" }, WebSocket, ...options,
  });
  open.push(session);
  return session;
}

/** A session with one telephone that is ready. */
async function atWork(options) {
  const session = await logIn(options);
  const endpoint = `7${agents}`;
  await session.addchannel({ channel: { endpoint, type: "Telephony" } });
  const channel = await session.until(() => session.channels[0]);
  await channel.activate();
  await channel.ready();
  await session.until(() => channel.availability === "READY");
  return { session, channel, endpoint };
}

const arrives = (session, data = {}) =>
  session.extension("session.request.simulator.inbound", { type: "Telephony", from: "+15550100", ...data });

async function inCall(options) {
  const desk = await atWork(options);
  await arrives(desk.session);
  const interaction = await desk.session.until(() => desk.session.interactions[0]);
  await interaction.conversations[0].answer();
  await desk.session.until(() => interaction.state === "STARTED");
  return { ...desk, interaction, conversation: interaction.conversations[0] };
}

/** The tree equals the snapshot that another connection is given, to which the session then belongs. */
async function treeIsTheHosts(session) {
  // Nothing is under way: the host's answer comes after all that it had to say.
  await session.until(() => session.connection === "open");
  await session.extension("session.request.simulator.link", { up: true });
  const view = session.tree.view();
  session.close();
  const other = await connect({ url: host.url, tenant: "demo", session: { id: session.id }, WebSocket });
  assert.deepEqual(view, other.tree.view());
  await other.logout();
}

for (const transport of ["websocket", "sse"]) {
  describe(`by ${transport}`, () => {
    test("a call is taken, held, retrieved and completed", async () => {
      const { session, interaction, conversation } = await inCall({ transport });
      assert.equal(conversation.state, "TALKING");
      assert.equal(interaction.focus, conversation);
      assert.deepEqual(conversation.members.map(({ address }) => address), ["+15550100"]);
      await conversation.hold();
      await session.until(() => conversation.state === "HELD" && conversation.can("retrieve"));
      await conversation.retrieve();
      await session.until(() => conversation.state === "TALKING");
      await conversation.release();
      await session.until(() => interaction.state === "ENDED" && conversation.disposed);
      assert.equal(interaction.ended.reason, "released");
      await interaction.complete();
      await session.until(() => interaction.disposed);
      assert.deepEqual(session.interactions, []);
    });

    test("a command that cannot be carried out is rejected with the host's code and words", async () => {
      const { channel } = await atWork({ transport });
      await assert.rejects(channel.notready({ reasoncode: "no such reason" }), { name: "JackfieldError", code: "rejected" });
      await assert.rejects(channel.activate(), { code: "invalid_state", command: "channel.request.activate", target: channel.target });
    });

    test("a connection that is cut comes back with all that happened meanwhile, and with the same objects", async () => {
      const { session, interaction, conversation } = await inCall({ transport });
      const names = [];
      session.on("event", ({ name, snapshot }) => names.push([name, snapshot]));
      proxy.refuses = true;
      proxy.cut();
      await session.until(() => session.connection === "reconnecting");
      await assert.rejects(conversation.hold(), { code: "disconnected" });
      await fetch(`${host.url}/v1/tenants/demo/sessions/${session.id}/commands`, {
        method: "POST", body: JSON.stringify({ command: "conversation.request.hold", target: conversation.target }),
      });
      proxy.refuses = false;
      await session.until(() => conversation.state === "HELD");
      assert.deepEqual(names, [["state.updated", false]], "the missed event and no snapshot");
      assert.equal(session.interactions[0], interaction);
      await treeIsTheHosts(session);
    });

    test("its tree equals the host's wherever the connection is cut", async () => {
      const { session, interaction } = await inCall({ transport });
      for (let bytes = 150; bytes < 3_000; bytes += 170) {
        proxy.cutsAfter = bytes;
        // Whatever is lost of the commands and their answers: the events tell what was done.
        const tries = [
          () => interaction.setinteractiondata({ key: `at ${bytes}`, value: "ü".repeat(bytes % 200) }),
          () => interaction.conversations[0].hold(),
          () => interaction.conversations[0].retrieve(),
        ];
        for (const attempt of tries) await attempt().catch(({ code }) => assert.ok(["disconnected", "invalid_state"].includes(code), code));
        proxy.cutsAfter = Infinity;
        const before = proxy.connections;
        proxy.cut();
        await session.until(() => proxy.connections > before && session.connection === "open");
      }
      await treeIsTheHosts(session);
    });

    test("of a command whose answer is lost the events tell that it was carried out, and it is not sent again", async () => {
      const { session, channel } = await atWork({ transport });
      const colleague = await atWork({ url: host.url });
      let sent = 0;
      session.on("message", ({ direction, message }) => { if (direction === "sent" && message.command === "channel.request.dial") sent += 1; });
      proxy.swallows = "answers";
      const dialled = assert.rejects(channel.dial({ destination: colleague.endpoint }), { code: "disconnected" });
      await colleague.session.until(() => colleague.session.interactions[0]);
      proxy.cut();
      proxy.swallows = "nothing";
      await dialled;
      await session.until(() => session.connection === "open" && session.interactions[0]?.state === "DIALING");
      assert.deepEqual([session.interactions.length, colleague.session.interactions.length, sent], [1, 1, 1]);
      await treeIsTheHosts(session);
    });

    test("a command that does not reach the host fails, and is not carried out when the connection is back", async () => {
      const { session, channel } = await atWork({ transport });
      proxy.swallows = "all";
      const dialled = assert.rejects(channel.dial({ destination: "5551234" }), { code: "disconnected" });
      proxy.refuses = true;
      proxy.cut();
      await dialled;
      await session.until(() => session.connection === "reconnecting");
      Object.assign(proxy, { swallows: "nothing", refuses: false });
      await session.until(() => session.connection === "open");
      // The answer to this would stand behind all that an earlier command on the channel had to say.
      await channel.notready({ reasoncode: "lunch" });
      await session.until(() => channel.availability === "NOTREADY");
      assert.deepEqual(session.interactions, []);
      await treeIsTheHosts(session);
    });

    test("a slow line changes nothing but the time", async () => {
      proxy.delay = 40;
      const { session, interaction } = await inCall({ transport });
      await interaction.setinteractiondata({ key: "colour", value: { deep: [1, null, "two"] } });
      await session.until(() => interaction.data.colour);
      await treeIsTheHosts(session);
    });

    test("a desktop that was away longer than the host remembers starts from a snapshot", async () => {
      const small = await Host.start({ limits: "journal_events = 4" });
      const far = await Proxy.before(small.port);
      try {
        const session = await connect({ url: far.url, tenant: "demo", agent: { id: "1", password: "any" }, WebSocket, transport });
        await session.addchannel({ channel: { endpoint: "1", type: "Telephony" } });
        const channel = await session.until(() => session.channels[0]);
        const [added, removed] = [[], []];
        session.on("added", (object) => added.push(object.target));
        session.on("removed", (object) => removed.push(object.target));
        far.refuses = true;
        far.cut();
        await session.until(() => session.connection === "reconnecting");
        const post = (command, target, data) => fetch(`${small.url}/v1/tenants/demo/sessions/${session.id}/commands`, {
          method: "POST", body: JSON.stringify({ command, target, data }),
        });
        await post("session.request.addchannel", session.id, { channel: { endpoint: "2", type: "Chat" } });
        await post("session.request.addchannel", session.id, { channel: { endpoint: "3", type: "Email" } });
        await post("session.request.removechannel", session.id, { channel: { id: channel.id } });
        far.refuses = false;
        await session.until(() => session.connection === "open" && session.channels.length === 2 && channel.disposed);
        assert.deepEqual(added, session.channels.map(({ target }) => target));
        assert.deepEqual(removed, [channel.target]);
        await session.logout();
      } finally {
        await far.end();
        await small.end();
      }
    });

    test("a session that another connection takes over is let go", async () => {
      const { session } = await atWork({ transport });
      let reason;
      session.on("end", (end) => { reason = end.reason; });
      const other = await connect({ url: host.url, tenant: "demo", session: { id: session.id }, WebSocket });
      await until("the first is told", () => reason);
      assert.equal(reason, "taken_over");
      await other.logout();
    });

    test("what the platform must know is asked for, and the command sent again with the answer", async () => {
      const asked = [];
      let answer = null;
      const needinfo = async (question) => { asked.push(question); return answer; };
      const { session, channel } = await atWork({ transport, needinfo });
      await channel.extension("channel.request.simulator.askskill", { on: true });
      await assert.rejects(channel.dial({ destination: "5551234" }), { code: "needinfo" });
      const { command, object, uiExtension } = asked[0];
      assert.deepEqual([command, object, uiExtension.id], ["channel.request.dial", channel, "simulator.skill"]);
      answer = { skill: { id: uiExtension.skills[0].id } };
      await channel.dial({ destination: "5551234" });
      await session.until(() => session.interactions[0]?.state === "STARTED");
    });

    test("a list is read, and one that is watched is always up to date", async () => {
      const { session, channel } = await atWork({ transport });
      const ids = ({ entries }) => entries.map(({ id }) => id);
      assert.deepEqual(ids(await session.list("reasons")), ["lunch", "break"]);
      assert.deepEqual(ids(await session.list("destinations", { query: "ware" })), ["+15550143"]);
      const queues = await session.watch("queues");
      assert.deepEqual(ids(queues), ["sales", "web"]);
      const { waiting } = queues.get("web");
      await session.extension("session.request.simulator.inbound", { type: "Email", from: "ada@example.org", queue: "web" });
      await session.until(() => queues.get("web").waiting === waiting + 1);
      const reasons = await session.watch("reasons");
      const set = (more) => session.extension("session.request.simulator.list", { kind: "reasons", id: transport, ...more });
      await set({ name: "New" });
      await session.until(() => reasons.get(transport)?.name === "New");
      // What changes while the connection is away is not lost.
      proxy.refuses = true;
      proxy.cut();
      await session.until(() => session.connection === "reconnecting");
      await fetch(`${host.url}/v1/tenants/demo/sessions/${session.id}/commands`, {
        method: "POST",
        body: JSON.stringify({ command: "session.request.simulator.list", target: session.id, data: { kind: "reasons", id: transport, gone: true } }),
      });
      proxy.refuses = false;
      await session.until(() => session.connection === "open" && !reasons.get(transport));
      // Nor what happens while the host's own link is down.
      // Both may come with the answer to the command.
      const isDown = session.until(() => session.link === "down");
      await session.extension("session.request.simulator.link", { up: false, ms: 50 });
      await isDown;
      await session.until(() => session.link === "up");
      await set({ name: "Newer" });
      await session.until(() => reasons.get(transport)?.name === "Newer");
      await set({ gone: true });
      await session.until(() => !reasons.get(transport));
      await reasons.stop();
      await set({ name: "Unseen" });
      await set({ gone: true });
      assert.equal(reasons.get(transport), undefined);
      await channel.notready({ reasoncode: "lunch" });
    });

    test("an agent who has a session already is asked about before it is taken away", async () => {
      const first = await logIn({ transport });
      const again = { url: host.url, tenant: "demo", agent: { id: String(agents), password: "any" }, WebSocket, transport };
      await assert.rejects(connect(again), { code: "confirm" });
      let reason;
      first.on("end", (end) => { reason = end.reason; });
      const second = await connect({ ...again, confirm: async () => true });
      await until("the first has ended", () => reason);
      assert.equal(reason, "replaced");
      await second.logout();
    });

    test("a page that is loaded again finds its session as it was", async () => {
      const { session, interaction } = await inCall({ transport });
      await interaction.setinteractiondata({ key: "note", value: "before" });
      const again = await connect({ url: host.url, tenant: "demo", session: { id: session.id }, WebSocket, transport });
      const found = again.object(interaction.target);
      assert.deepEqual([found.state, found.data.note, found.conversations[0].state], ["STARTED", "before", "TALKING"]);
      session.close();
      await again.logout();
    });
  });
}

test("a host that has fallen silent is noticed, and come back to when it can be heard again", async () => {
  const { session, channel } = await atWork({ heartbeat: { silence: 300, answer: 300 } });
  proxy.swallows = "all";
  const unanswered = channel.notready({ reasoncode: "lunch" });
  await assert.rejects(unanswered, { code: "disconnected" });
  proxy.swallows = "nothing";
  await session.until(() => session.connection === "open", { timeout: 60_000 });
  await treeIsTheHosts(session);
});

test("after a restart of the host the desktop is asked who logs in again", { timeout: 60_000 }, async () => {
  const other = await Host.start();
  try {
    const reasons = [];
    const started = [];
    const agent = { id: "1", password: "any" };
    const session = await connect({
      url: other.url, tenant: "demo", agent, WebSocket,
      logInAgain: ({ reason }) => { reasons.push(reason); return agent; },
      on: { started: ({ again }) => started.push(again) },
    });
    const before = session.id;
    await session.addchannel({ channel: { endpoint: "1", type: "Telephony" } });
    const channel = await session.until(() => session.channels[0]);
    await other.stop();
    await session.until(() => session.connection === "reconnecting");
    assert.deepEqual([session.channels, channel.parent], [[channel], session], "what was there is shown until there is something else");
    await other.run();
    await session.until(() => session.connection === "open", { timeout: 30_000 });
    assert.deepEqual([reasons, started, channel.disposed], [["shutting_down"], [false, true], true]);
    assert.notEqual(session.id, before);
    await session.logout();
  } finally {
    await other.end();
  }
});

test("in a session that begins in place of another the same lists are watched", { timeout: 60_000 }, async () => {
  const other = await Host.start();
  try {
    const agent = { id: "1", password: "any" };
    const session = await connect({ url: other.url, tenant: "demo", agent, WebSocket, logInAgain: () => agent });
    const destinations = await session.watch("destinations");
    await other.stop();
    await session.until(() => session.connection === "reconnecting");
    await other.run();
    await session.until(() => session.connection === "open", { timeout: 30_000 });
    const colleague = await connect({ url: other.url, tenant: "demo", agent: { id: "2", password: "any" }, WebSocket });
    await session.until(() => destinations.get("agent:2")?.presence.state === "NOTREADY");
    await colleague.logout();
    await session.until(() => !destinations.get("agent:2"));
    await session.logout();
  } finally {
    await other.end();
  }
});

describe("where no WebSocket gets through, a call is taken by HTTP", () => {
  const takesACall = async (options) => {
    const { session, conversation } = await inCall(options);
    await conversation.hold();
    await session.until(() => conversation.state === "HELD");
    await session.logout();
  };

  test("because there is none", () => takesACall({ WebSocket: undefined }));

  test("because a proxy in front knows no upgrade", async () => {
    const far = await withoutWebSockets(host.port);
    try {
      await takesACall({ url: far.url });
      assert.ok(far.upgrades > 0, "it was tried");
    } finally {
      await far.end();
    }
  });
});

test("how long a state has lasted is right on a machine whose clock is wrong", async () => {
  const { now } = Date;
  for (const wrong of [3_600_000, -3_600_000, 0]) {
    Date.now = () => now() + wrong;
    try {
      const { conversation } = await inCall();
      const lasted = Date.now() - conversation.since;
      assert.ok(lasted > -2_500 && lasted < 60_000, `${lasted}`);
    } finally {
      Date.now = now;
    }
  }
});

test("the reason why nobody can log in is told", async () => {
  const agent = { id: "1", password: "any" };
  const wrong = (more) => connect({ url: host.url, tenant: "demo", agent, WebSocket, ...more });
  await assert.rejects(wrong({ tenant: "nobody" }), { code: "unauthorized" });
  await assert.rejects(wrong({ url: "http://127.0.0.1:9" }), { code: "disconnected" });
  await assert.rejects(wrong({ session: { id: "none" }, agent: undefined }), { code: "not_found" });
});

test("a mistake in what connect is given is told at once, by its name", async () => {
  const right = { url: host.url, tenant: "demo", agent: { id: "1", password: "any" }, WebSocket };
  const mistakes = [
    [{ url: "127.0.0.1:8080" }, /^url/], [{ url: "localhost:8080" }, /^url/], [{ url: undefined }, /^url/],
    [{ tenant: undefined }, /^tenant/], [{ agent: undefined }, /^agent/], [{ transport: "ws" }, /^transport.*websocket/],
    [{ transport: "websocket", WebSocket: undefined }, /WebSocket/],
  ];
  for (const [mistake, message] of mistakes) await assert.rejects(connect({ ...right, ...mistake }), { code: "bad_request", message });
});

test("a session that is over takes no command", async () => {
  const { session, channel } = await atWork();
  await session.logout();
  await assert.rejects(channel.notready({ reasoncode: "lunch" }), { code: "ended" });
});

test("a token is presented on every way in", async () => {
  const hash = createHash("sha256").update("jf_right").digest("hex");
  const secured = await Host.start({ auth: `kind = "token"\ntokens = [{ name = "desk", hash = "sha256:${hash}" }]` });
  try {
    for (const transport of ["websocket", "sse"]) {
      const agent = { id: transport, password: "any" };
      const options = { url: secured.url, tenant: "demo", agent, WebSocket, transport };
      await assert.rejects(connect(options), { code: "unauthorized" });
      const session = await connect({ ...options, token: async () => "jf_right" });
      assert.ok((await session.extensions()).length > 0);
      await session.logout();
    }
  } finally {
    await secured.end();
  }
});

test("extension commands come with the schemas of their data", async () => {
  const session = await logIn();
  const inbound = (await session.extensions()).find(({ name }) => name === "session.request.simulator.inbound");
  assert.deepEqual(inbound.data.required, ["type", "from"]);
});

test("a password is not shown among the messages", async () => {
  const seen = [];
  await logIn({ on: { message: ({ message }) => seen.push(JSON.stringify(message)) } });
  assert.ok(seen.length > 2);
  assert.ok(seen.some((text) => text.includes('"***"')) && !seen.some((text) => text.includes('"any"')));
});
