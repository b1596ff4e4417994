// The published schemas and the AsyncAPI description, judged by the tools that others read them with.

import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";
import Ajv from "ajv";

import { ROOT } from "./harness.js";

const SCHEMAS = join(ROOT, "host/protocol/schema");
const read = async (path) => JSON.parse(await readFile(join(SCHEMAS, path), "utf8"));

/** Every schema by its path below the folder. */
async function schemas() {
  const all = {};
  for (const folder of ["", "commands/", "answers/", "events/"]) {
    for (const file of await readdir(join(SCHEMAS, folder))) {
      if (file.endsWith(".json") && file !== "asyncapi.json") all[folder + file] = await read(folder + file);
    }
  }
  return all;
}

test("every schema is one, and finds those that it refers to", async () => {
  const ajv = new Ajv({ strict: true, strictTypes: false, strictRequired: false, allowUnionTypes: true });
  const all = await schemas();
  for (const [path, schema] of Object.entries(all)) ajv.addSchema(schema, path);
  for (const path of Object.keys(all)) assert.equal(typeof ajv.getSchema(path), "function", path);
  const isCommand = ajv.getSchema("command.json");
  assert.ok(isCommand({ command: "channel.request.dial", target: "S.c1", data: { destination: "5551234" } }), ajv.errorsText(isCommand.errors));
  assert.ok(!isCommand({ command: "channel.request.dial", target: "S.c1", data: { destinaton: "5551234" } }));
});

test("the AsyncAPI description is one", async () => {
  const document = await read("asyncapi.json");
  const specification = createRequire(import.meta.url)(`@asyncapi/specs/schemas/${document.asyncapi}.json`);
  // The specification brings the schema of schemas along.
  const ajv = new Ajv({ meta: false, strict: false, validateFormats: false, validateSchema: false });
  const valid = ajv.compile(specification);
  assert.ok(valid(document), JSON.stringify(valid.errors?.slice(0, 5), null, 1));
});

test("whatever the AsyncAPI description refers to is there", async () => {
  const document = await read("asyncapi.json");
  const all = await schemas();
  const check = (part) => {
    if (part === null || typeof part !== "object") return;
    if (typeof part.$ref === "string") {
      const [file, pointer] = part.$ref.split("#");
      if (file) assert.ok(all[file], part.$ref);
      else assert.ok(pointer.slice(1).split("/").reduce((at, name) => at?.[name], document), part.$ref);
    }
    Object.values(part).forEach(check);
  };
  check(document);
  assert.ok(document.operations["channel.request.dial"] && document.operations.events.messages.length >= 26);
});
