// Colours for code, apart from the first view: the highlighter and each language come when they are needed.
//
// Invariant: the highlighter's tree becomes elements, never HTML.

import { createLowlight } from "lowlight";
import type { ReactNode } from "react";
import { visible } from "../ui/text";

type Grammar = { default: Parameters<ReturnType<typeof createLowlight>["register"]>[1] };
const GRAMMARS: { [name: string]: () => Promise<Grammar> } = {
  bash: () => import("highlight.js/lib/languages/bash"),
  c: () => import("highlight.js/lib/languages/c"),
  cpp: () => import("highlight.js/lib/languages/cpp"),
  csharp: () => import("highlight.js/lib/languages/csharp"),
  css: () => import("highlight.js/lib/languages/css"),
  diff: () => import("highlight.js/lib/languages/diff"),
  dockerfile: () => import("highlight.js/lib/languages/dockerfile"),
  go: () => import("highlight.js/lib/languages/go"),
  ini: () => import("highlight.js/lib/languages/ini"),
  java: () => import("highlight.js/lib/languages/java"),
  javascript: () => import("highlight.js/lib/languages/javascript"),
  json: () => import("highlight.js/lib/languages/json"),
  kotlin: () => import("highlight.js/lib/languages/kotlin"),
  lua: () => import("highlight.js/lib/languages/lua"),
  makefile: () => import("highlight.js/lib/languages/makefile"),
  markdown: () => import("highlight.js/lib/languages/markdown"),
  php: () => import("highlight.js/lib/languages/php"),
  python: () => import("highlight.js/lib/languages/python"),
  ruby: () => import("highlight.js/lib/languages/ruby"),
  rust: () => import("highlight.js/lib/languages/rust"),
  scss: () => import("highlight.js/lib/languages/scss"),
  sql: () => import("highlight.js/lib/languages/sql"),
  swift: () => import("highlight.js/lib/languages/swift"),
  typescript: () => import("highlight.js/lib/languages/typescript"),
  xml: () => import("highlight.js/lib/languages/xml"),
  yaml: () => import("highlight.js/lib/languages/yaml"),
};
const ALIASES: { [name: string]: string } = {
  sh: "bash", shell: "bash", zsh: "bash", console: "bash", h: "c", cc: "cpp", "c++": "cpp", hpp: "cpp", cs: "csharp",
  docker: "dockerfile", toml: "ini", js: "javascript", jsx: "javascript", mjs: "javascript", jsonc: "json", kt: "kotlin",
  make: "makefile", md: "markdown", py: "python", rb: "ruby", rs: "rust", ts: "typescript", tsx: "typescript",
  html: "xml", svg: "xml", vue: "xml", yml: "yaml", patch: "diff",
};

const lowlight = createLowlight();

/** Null when nobody knows the language. */
export async function highlight(text: string, lang: string): Promise<ReactNode | null> {
  const name = ALIASES[lang] ?? lang;
  const grammar = Object.hasOwn(GRAMMARS, name) ? GRAMMARS[name] : undefined;
  if (!grammar) return null;
  if (!lowlight.registered(name)) lowlight.register(name, (await grammar()).default);
  return draw(lowlight.highlight(name, text).children as Node[]);
}

interface Node { type: string; value?: string; properties?: { className?: string[] }; children?: Node[] }

function draw(nodes: Node[]): ReactNode {
  return nodes.map((node, at) =>
    node.type === "text" ? visible(node.value ?? "") : <span key={at} className={node.properties?.className?.join(" ")}>{draw(node.children ?? [])}</span>,
  );
}
