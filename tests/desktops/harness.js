// A host of the test's own: the real binary with the simulator, on free ports, ended when the test ends.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, mkdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const PROGRAMS = process.env.JACKFIELD_PROGRAMS ?? join(ROOT, "target/debug");
export const PROGRAM = join(PROGRAMS, "jackfield");

/** Waits until `condition` gives something true; rejects with `what` if that does not come. */
export async function until(what, condition, patience = 15_000) {
  const end = Date.now() + patience;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`it does not come: ${what}`);
    await new Promise((again) => setTimeout(again, 20));
  }
}

async function freePort() {
  const server = createServer();
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address();
  await new Promise((closed) => server.close(closed));
  return port;
}

const SETTINGS = `queues = ["sales", "web"]
ring_ms = 50
reasons = [{ code = "lunch", desc = "Lunch" }, { code = "break", desc = "Short break" }]
dispositions = ["Sold", "Call back"]
endpoints = [{ endpoint = "desk-1", type = "Telephony", name = "Desk 1" }]
directory = [{ number = "+15550142", name = "Head office" }, { number = "+15550143", name = "Warehouse", book = "Suppliers" }]
`;

/** A running host. */
export class Host {
  static async start({ settings = SETTINGS, limits = "", listener = "", auth = 'kind = "none"' } = {}) {
    if (!existsSync(PROGRAM)) throw new Error(`${PROGRAM} is not there: cargo build -p jackfield -p jackfield-simulator`);
    const host = new Host();
    host.folder = await mkdtemp(join(tmpdir(), "jackfield-desktops-"));
    host.port = await freePort();
    await mkdir(join(host.folder, "tenants"));
    await writeFile(join(host.folder, "jackfield.toml"), `[listener]
address = "127.0.0.1:${host.port}"
${listener}
[operations]
address = "127.0.0.1:0"
[plugins]
store = "store"
[limits]
${limits}
`);
    await writeFile(join(host.folder, "tenants/demo.toml"), `adapter = "simulator"
[auth]
${auth}
[settings]
${settings}
`);
    await host.run();
    return host;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  async run() {
    this.log = "";
    this.process = spawn(PROGRAM, ["serve", "--config", join(this.folder, "jackfield.toml")]);
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream.on("data", (text) => { this.log += text; });
    }
    this.ended = new Promise((ended) => { this.process.once("exit", ended); });
    const linkIsUp = async () => {
      if (this.process.exitCode !== null) throw new Error(`the host has ended:\n${this.log}`);
      const operations = /"address":"([\d.:]+)"[^\n]*listening for operations|listening for operations[^\n]*"address":"([\d.:]+)"/.exec(this.log);
      if (!operations) return false;
      const tenants = await fetch(`http://${operations[1] ?? operations[2]}/tenants`).then((answer) => answer.json(), () => []);
      return tenants.length > 0 && tenants.every(({ link }) => link === "up");
    };
    await until("the host runs", linkIsUp);
  }

  async stop(signal = "SIGTERM") {
    if (this.process.exitCode === null) this.process.kill(signal);
    await this.ended;
  }

  async end() {
    await this.stop("SIGKILL");
    await rm(this.folder, { recursive: true, force: true });
  }
}
