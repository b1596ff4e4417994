// The two ways to a host: a WebSocket, or commands by POST and events by an event stream.
//
// Owns: one connection from its opening to its loss, the matching of answers to requests, and signs of life. Must never:
// connect a second time, or know what a message means. Both ways offer the same: `prepare`, `bind`, `request`, `close`
// and `fail`, and call `event`, `message` and `lost`.

/** Silence for so long is answered with a question, and no sign of life for so long is a lost connection. */
const HEARTBEAT = { silence: 25_000, answer: 10_000 };
/** An attempt to connect that takes longer has failed. */
const OPEN_WITHIN = 15_000;
/** What `transport` may be. */
export const TRANSPORTS = ["auto", "websocket", "sse"];
/** Why a host may not be reached. A browser does not say which of these it is. */
const NOT_REACHED = "the host is not there, or does not let pages of this origin in (listener.origins)";

/** A command that failed, or a connection that cannot be made. */
export class JackfieldError extends Error {
  constructor(code, message, more = {}) {
    super(message);
    this.name = "JackfieldError";
    this.code = code;
    Object.assign(this, more);
  }
}

export const lost = (why) => new JackfieldError("disconnected", `the connection to the host is lost${why ? `: ${why}` : ""}`);

export function failed(response) {
  const { code = "internal", message = "the host gave no reason", context } = response.failure ?? {};
  const { command, target } = response.original ?? response;
  return new JackfieldError(code, message, { context, command, target });
}

export function address({ url, tenant }, path) {
  const base = new URL(url, globalThis.location?.href);
  base.protocol = base.protocol.replace(/^ws/, "http");
  if (!base.pathname.endsWith("/")) base.pathname += "/";
  return new URL(`v1/tenants/${encodeURIComponent(tenant)}/${path}`, base);
}

async function tokenOf({ token }) {
  return typeof token === "function" ? token() : token;
}

export async function withToken(options, ask) {
  const token = await tokenOf(options);
  return ask(token ? { authorization: `Bearer ${token}` } : {});
}

/** Opens a connection: a WebSocket, or HTTP where that was asked for or nothing else goes through. */
export async function open(options, callbacks) {
  const transport = options.transport ?? "auto";
  if (transport === "sse" || (transport === "auto" && !options.WebSocket)) return overHttp(options, callbacks);
  try {
    return await overWebSocket(options, callbacks);
  } catch (error) {
    // A browser does not say why. The same host is asked over HTTP: what it answers is the reason.
    const answer = await withToken(options, (headers) => options.fetch(address(options, "extensions"), { headers }))
      .catch(() => null);
    if (answer?.status === 401) throw failed(await answer.json());
    if (!answer) throw new JackfieldError("disconnected",
      `${error.message}; ${NOT_REACHED}`);
    // The host is there: something on the way does not let a WebSocket through.
    if (transport === "auto") return overHttp(options, callbacks);
    throw error;
  }
}

/** One connection by WebSocket. */
async function overWebSocket(options, { event, message: seen, lost: onLost }) {
  const heartbeat = { ...HEARTBEAT, ...options.heartbeat };
  const url = address(options, "ws");
  url.protocol = url.protocol.replace(/^http/, "ws");
  const token = await tokenOf(options);
  const socket = new options.WebSocket(url.href, token ? ["jackfield.v1", `bearer.${token}`] : ["jackfield.v1"]);
  const waiting = new Map();
  let next = 0;
  let isOver = false;

  const over = (why) => {
    if (isOver) return;
    isOver = true;
    clearTimeout(heart);
    for (const { reject } of waiting.values()) reject(lost(why?.reason));
    waiting.clear();
    onLost(why);
  };
  const fail = (reason) => {
    try { socket.close(1000); } catch { /* It was never open. */ }
    over({ reason });
  };
  let heart;
  const isAlive = () => {
    clearTimeout(heart);
    if (isOver) return;
    heart = setTimeout(() => {
      // Any answer will do.
      socket.send('{"command":"ping"}');
      heart = setTimeout(() => fail("the host has fallen silent"), heartbeat.answer);
    }, heartbeat.silence);
    heart.unref?.();
  };

  await new Promise((resolve, reject) => {
    const timer = setTimeout(() => { fail(); reject(lost("no answer from the host")); }, OPEN_WITHIN);
    socket.onopen = () => { clearTimeout(timer); resolve(); };
    socket.onerror = () => { clearTimeout(timer); over({}); reject(lost("the WebSocket cannot be opened")); };
    socket.onclose = ({ code, reason }) => { clearTimeout(timer); over({ code, reason }); reject(lost(reason)); };
  });
  isAlive();
  socket.onmessage = ({ data }) => {
    if (isOver) return;
    isAlive();
    const message = JSON.parse(data);
    if (message.command === "ping") return;
    seen("received", message);
    if (message.messageType === "objectEvent") return event(message);
    const answered = waiting.get(message.requestId);
    waiting.delete(message.requestId);
    answered?.resolve(message);
  };

  const request = (message, atOnce = () => {}) => new Promise((resolve, reject) => {
    if (isOver) return reject(lost());
    const requestId = String(++next);
    waiting.set(requestId, { reject, resolve: (response) => { atOnce(response); resolve(response); } });
    const whole = { ...message, requestId };
    seen("sent", whole);
    socket.send(JSON.stringify(whole));
  });
  return {
    request,
    fail,
    prepare: (data) => request({ command: "prepareSession", data }),
    bind: (id, after, bound) =>
      request({ command: "bindSession", data: { session: { id }, ...(after === undefined ? {} : { after }) } },
        (response) => { if (response.result === "success") bound(response.data); }),
    close() {
      onLost = () => {};
      fail("it was closed");
    },
  };
}

/** Commands by POST and events by an event stream, for where a WebSocket cannot be held. */
function overHttp(options, { event, message: seen, lost: onLost }) {
  const heartbeat = { ...HEARTBEAT, ...options.heartbeat };
  const aborted = new AbortController();
  const { signal } = aborted;
  let [isOver, session, next] = [false, null, 0];
  let quiet;

  const over = (why) => {
    if (isOver) return;
    isOver = true;
    clearTimeout(quiet);
    // A host that ends the stream by its own word still answers what it was sent, a logout above all.
    if (!why?.code) aborted.abort();
    onLost(why);
  };
  const isAlive = () => {
    clearTimeout(quiet);
    if (isOver) return;
    // The host signs every 20 s.
    quiet = setTimeout(() => over({ reason: "the host has fallen silent" }), heartbeat.silence + heartbeat.answer);
    quiet.unref?.();
  };
  const post = async (path, message) => {
    const whole = { ...message, requestId: String(++next) };
    seen("sent", whole);
    const body = JSON.stringify(whole);
    let response;
    try {
      const sent = await withToken(options, (headers) =>
        options.fetch(address(options, path), { method: "POST", body, signal, headers: { ...headers, "content-type": "application/json" } }));
      response = await sent.json().catch(() => { throw new Error(`status ${sent.status} without a message of the protocol`); });
    } catch (error) {
      // The first request is the one that shows whether there is a host.
      throw lost(session === null ? `${error.message}; ${NOT_REACHED}` : error.message);
    }
    seen("received", response);
    return response;
  };

  /** Opens the event stream; resolves once it has said where it begins. */
  const stream = async (after, bound) => {
    let response;
    try {
      response = await withToken(options, (headers) => options.fetch(address(options, `sessions/${encodeURIComponent(session)}/events`), {
        signal, headers: after === undefined ? headers : { ...headers, "last-event-id": String(after) },
      }));
    } catch (error) {
      throw lost(error.message);
    }
    if (!response.ok) return response.json();
    return new Promise((resolve, reject) => {
      const take = ({ type, data }) => {
        if (type === "bind") {
          const answer = { command: "bindSession", result: "success", data: JSON.parse(data) };
          bound(answer.data);
          return resolve(answer);
        }
        if (type === "closed") return over(reasonOf(data));
        const message = JSON.parse(data);
        seen("received", message);
        event(message);
      };
      readEvents(response.body, () => !isOver, isAlive, take)
        .then(() => over({ reason: "the event stream has ended" }), (error) => over({ reason: error.message }))
        .finally(() => reject(lost("the event stream has ended")));
    });
  };
  isAlive();
  return {
    request: (message) => post(`sessions/${encodeURIComponent(session)}/commands`, message),
    prepare: (data) => post("sessions", { command: "prepareSession", data }),
    async prepared(id) {
      session = id;
      const response = await stream(0, () => {});
      if (response.result !== "success") throw failed(response);
    },
    bind(id, after, bound) {
      session = id;
      return stream(after, bound);
    },
    fail: (reason) => over({ reason }),
    close() {
      onLost = () => {};
      over();
    },
  };
}

/** Why the host ends an event stream: a close code and its reason, as JSON or in words. */
function reasonOf(data) {
  const [, code, reason] = /^(\d{4}) ?(.*)$/s.exec(data) ?? [];
  if (code) return { code: Number(code), reason };
  try {
    return JSON.parse(data);
  } catch {
    return { reason: data };
  }
}

/** Reads a body of type text/event-stream; `alive` at every sign of life. */
async function readEvents(body, goesOn, alive, take) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  let [type, data] = ["message", []];
  while (goesOn()) {
    const { value, done } = await reader.read();
    if (done) return;
    alive();
    const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line === "" && data.length) take({ type, data: data.join("\n") });
      if (line === "") [type, data] = ["message", []];
      else if (line.startsWith("event: ")) type = line.slice(7);
      else if (line.startsWith(": closed ")) take({ type: "closed", data: line.slice(9) });
      else if (line.startsWith("data: ")) data.push(line.slice(6));
    }
  }
}

