// Writes src/generated/protocol.ts from the JSON Schemas of the wire, which come from the Rust types.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { compile } from "json-schema-to-typescript";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const schema = process.env.VIBES_SCHEMA ?? here("../../protocol/schema/v1");
const read = (name) => JSON.parse(readFileSync(`${schema}/${name}.json`, "utf8"));
const definitions = {};
for (const [name, union] of [["messages", "Message"], ["requests", "Request"], ["facts", "Fact"]]) {
  const { $defs, oneOf } = read(name);
  Object.assign(definitions, $defs);
  if (oneOf && !definitions[union]) definitions[union] = { oneOf };
}
/** Words beside a reference would make a copy of what it refers to, under another name. */
function plain(value) {
  if (Array.isArray(value)) return value.map(plain);
  if (!value || typeof value !== "object") return value;
  if (typeof value.$ref === "string") return { $ref: value.$ref };
  return Object.fromEntries(Object.entries(value).filter(([name, one]) => name !== "title" || typeof one !== "string").map(([name, one]) => [name, plain(one)]));
}
const all = { title: "Wire", type: "object", additionalProperties: false, $defs: plain(definitions), properties: {} };
for (const name of Object.keys(definitions).sort()) all.properties[name] = { $ref: `#/$defs/${name}` };
const text = await compile(all, "Wire", {
  bannerComment: "// Made by scripts/types.mjs from protocol/schema/v1; never edited.\n",
  additionalProperties: false, format: false, unknownAny: true, unreachableDefinitions: false, strictIndexSignatures: false,
});
mkdirSync(here("../src/generated"), { recursive: true });
writeFileSync(here("../src/generated/protocol.ts"), text);
