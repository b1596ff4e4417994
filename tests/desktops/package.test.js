// The client library as a package: its types, its examples, what npm would publish.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

import * as client from "../../host/client/jackfield-client.js";
import { Host, ROOT } from "./harness.js";
import { TYPES, types } from "./types.js";

const run = promisify(execFile);
const CLIENT = join(ROOT, "host/client");

test("a project in TypeScript compiles against the types, and a misspelt command does not", async () => {
  const compiler = createRequire(import.meta.url).resolve("typescript/bin/tsc");
  // Its mistakes are marked as expected: the compiler complains of any that it does not find.
  await run(process.execPath, [compiler, "-p", join(ROOT, "tests/desktops/types")]).catch(({ stdout }) => assert.fail(stdout));
});

test("the types of the protocol are those of its schemas", async () => {
  assert.equal(await readFile(TYPES, "utf8"), await types(), "node tests/desktops/types.js writes them anew");
});

test("there is a method for every command of the protocol", async () => {
  const classes = {
    session: client.Session, channelgroup: client.ChannelGroup, channel: client.Channel,
    interaction: client.Interaction, conversation: client.Conversation,
  };
  const commands = (await readdir(join(ROOT, "host/protocol/schema/commands"))).map((file) => file.slice(0, -".json".length));
  const declared = commands.filter((name) => name.includes(".request.")).map((name) => name.split(/\.request\.(.*)/));
  assert.ok(declared.length >= 34);
  for (const [kind, verb] of declared) {
    const method = verb.replace(/\.(\w)/g, (_, letter) => letter.toUpperCase());
    assert.equal(typeof classes[kind].prototype[method], "function", `${kind}: ${method}`);
  }
});

test("every example of the README runs", { timeout: 120_000 }, async () => {
  const host = await Host.start();
  const folder = await mkdtemp(join(tmpdir(), "jackfield-readme-"));
  try {
    await mkdir(join(folder, "node_modules"));
    await symlink(CLIENT, join(folder, "node_modules/jackfield-client"));
    const readme = await readFile(join(CLIENT, "README.md"), "utf8");
    const examples = [...readme.matchAll(/^```js\n(.*?)^```$/gms)].map(([, code]) => code);
    assert.equal(examples.length, 5);
    for (const [place, example] of examples.entries()) {
      const file = join(folder, `example-${place}.mjs`);
      await writeFile(file, example.replaceAll("http://127.0.0.1:8080", host.url));
      await run(process.execPath, [file], { timeout: 30_000 });
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
    await host.end();
  }
});

test("what npm would publish is all that the client needs", async () => {
  const { stdout } = await run("npm", ["pack", "--dry-run", "--json"], { cwd: CLIENT });
  const files = JSON.parse(stdout)[0].files.map(({ path }) => path);
  for (const file of ["README.md", "jackfield-client.d.ts", "jackfield-client.js", "lists.js", "objects.js", "package.json", "protocol.d.ts", "transport.js"]) {
    assert.ok(files.includes(file), file);
  }
  assert.ok(!files.some((file) => file.startsWith("console/")), "the console is the host's");
});
