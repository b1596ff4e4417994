// The client library's types of the protocol, made from the published schemas: `node types.js` writes them anew.

import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { compile } from "json-schema-to-typescript";

import { ROOT } from "./harness.js";

const SCHEMAS = join(ROOT, "host/protocol/schema");
export const TYPES = join(ROOT, "host/client/protocol.d.ts");

const BANNER = `// The session protocol's types, made from its schemas (host/protocol/schema) by tests/desktops/types.js. Do not edit.
// What a newer host adds is not in them; a client ignores what it does not know.`;

const read = async (path) => JSON.parse(await readFile(join(SCHEMAS, path), "utf8"));

/** The schema as TypeScript has to be told it. */
function prepared(schema, isCommand = false) {
  if (Array.isArray(schema)) return schema.map((each) => prepared(each));
  if (schema === null || typeof schema !== "object") return schema;
  const { $schema, title, definitions, ...rest } = schema;
  if (rest.anyOf && rest.properties) return prepared(distributed(rest));
  const says = Object.keys(rest).filter((word) => word !== "description" && word !== "default");
  if (says.length === 0) return { ...rest, tsType: "unknown" };
  if (rest.type === "object" && says.length === 1) {
    return { ...rest, tsType: isCommand ? "Record<string, never>" : "Record<string, unknown>" };
  }
  const inside = (members) => Object.fromEntries(Object.entries(members).map(([name, each]) => [name, prepared(each)]));
  for (const word of ["anyOf", "oneOf", "allOf", "items", "additionalProperties"]) if (rest[word]) rest[word] = prepared(rest[word]);
  if (rest.properties) rest.properties = inside(rest.properties);
  return rest;
}

/** Members beside a choice, told with each of its branches: TypeScript can then tell the branches apart. */
function distributed({ anyOf, properties, required = [], ...rest }) {
  const branch = (one) => ({
    type: "object", ...one, properties: { ...one.properties, ...properties }, required: [...required, ...(one.required ?? [])],
  });
  return { description: rest.description, anyOf: anyOf.map(branch) };
}

function table(description, properties) {
  return { type: "object", description, properties, required: Object.keys(properties) };
}

/** The text of the types. */
export async function types() {
  const definitions = {};
  const define = (more = {}) => {
    for (const [name, schema] of Object.entries(more)) {
      const known = definitions[name];
      if (known && JSON.stringify(known) !== JSON.stringify(prepared(schema))) throw new Error(`${name} stands for two things`);
      definitions[name] = prepared(schema);
    }
  };
  const folder = async (path) => {
    const all = {};
    for (const file of (await readdir(join(SCHEMAS, path))).sort()) {
      const schema = await read(`${path}/${file}`);
      define(schema.definitions);
      all[file.slice(0, -".json".length)] = prepared(schema, path === "commands");
    }
    return all;
  };
  const all = {
    CommandData: table("The data of each command.", await folder("commands")),
    AnswerData: table("The data of a command's success, where they are not those of the command.", await folder("answers")),
    EventData: table("The data of each event.", await folder("events")),
  };
  define((await read("failure.json")).definitions);
  const root = { title: "Protocol", type: "object", properties: {}, definitions: { ...definitions, ...all } };
  const text = await compile(root, "Protocol", {
    additionalProperties: false, unreachableDefinitions: true, bannerComment: BANNER, style: { printWidth: 120 },
  });
  return text
    .replace(/\n \*\n \* This interface was referenced by [^*]*\n \* via the `definition` "\w+"\.\n/g, "\n")
    .replace("export interface Protocol {}\n", "");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await writeFile(TYPES, await types());
