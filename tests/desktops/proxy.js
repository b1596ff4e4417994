// Proxies between a desktop and the host: one of TCP that delays, swallows, cuts off and refuses, and one of HTTP that lets
// no WebSocket through.

import { createServer as createHttpServer, request } from "node:http";
import { connect, createServer } from "node:net";

export class Proxy {
  #pairs = new Set();

  static async before(port) {
    const proxy = new Proxy();
    proxy.target = port;
    /** Milliseconds that every piece takes. */
    proxy.delay = 0;
    /** What is lost on the way without anybody being told: `nothing`, `answers` (what the host sends), `all`. */
    proxy.swallows = "nothing";
    /** While it is there, pieces from the host wait for it and then come all at once. */
    proxy.held = null;
    /** Whether new connections are refused. */
    proxy.refuses = false;
    /** The most bytes that pass from the host before a connection is cut. */
    proxy.cutsAfter = Infinity;
    proxy.connections = 0;
    proxy.server = createServer((near) => proxy.#pair(near));
    await new Promise((listening) => proxy.server.listen(0, "127.0.0.1", listening));
    return proxy;
  }

  get url() {
    return `http://127.0.0.1:${this.server.address().port}`;
  }

  #pair(near) {
    if (this.refuses) return near.destroy();
    this.connections += 1;
    const far = connect(this.target, "127.0.0.1");
    const pair = { near, far, passed: 0 };
    this.#pairs.add(pair);
    const end = () => {
      near.destroy();
      far.destroy();
      this.#pairs.delete(pair);
    };
    const pass = (from, to, count) => {
      from.on("data", async (piece) => {
        if (this.swallows === "all" || (this.swallows === "answers" && count)) return;
        if (this.delay) await new Promise((passed) => setTimeout(passed, this.delay));
        if (count && this.held) await this.held;
        if (count) pair.passed += piece.length;
        const rest = this.cutsAfter - (pair.passed - piece.length);
        if (count && pair.passed > this.cutsAfter) to.end(piece.subarray(0, Math.max(0, rest)), end);
        else if (!to.destroyed) to.write(piece);
      });
      from.on("error", end);
      from.on("close", end);
    };
    pass(near, far, false);
    pass(far, near, true);
  }

  /** Cuts all connections. */
  cut() {
    for (const { near, far } of this.#pairs) {
      near.destroy();
      far.destroy();
    }
    this.#pairs.clear();
  }

  async end() {
    this.cut();
    await new Promise((closed) => this.server.close(closed));
  }
}

/** A proxy in front of a host that knows HTTP and no upgrade, as some companies have: `url` and `end`. */
export async function withoutWebSockets(port) {
  let upgrades = 0;
  const server = createHttpServer((asked, answer) => {
    const { method, url, headers } = asked;
    const onward = request({ host: "127.0.0.1", port, method, path: url, headers }, (given) => {
      answer.writeHead(given.statusCode, given.headers);
      answer.flushHeaders();
      given.pipe(answer);
    });
    onward.on("error", () => answer.destroy());
    answer.on("close", () => onward.destroy());
    asked.pipe(onward);
  });
  server.on("upgrade", (_, socket) => { upgrades += 1; socket.destroy(); });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    get upgrades() { return upgrades; },
    end: () => new Promise((closed) => { server.close(closed); server.closeAllConnections(); }),
  };
}
