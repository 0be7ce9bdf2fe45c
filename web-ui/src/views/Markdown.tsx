// Markdown of an agent, drawn while it is still being written.
//
// Invariant: what an agent writes is data. Nothing is ever given to the browser as HTML: the lexer's tokens become
// elements of a closed set, raw HTML is shown as the text it is, images are named and not fetched, and a link leads only
// to http, https or mailto, shows where it leads, and opens outside.

import { Lexer, type MarkedToken, type Token, type Tokens } from "marked";
import { Fragment, memo, useRef, type ReactNode } from "react";
import { Code } from "./Code";
import { decodeEntities, visible } from "../ui/text";

/** Beyond this a text is shown as it is. */
const LONGEST = 96 * 1024;

interface Parsed { text: string; tokens: Token[]; ends: number[] }

/** Parses again only what may still change: all but the last two blocks are final once more follows. */
function parse(text: string, before: Parsed | null): Parsed {
  let kept = 0;
  if (before && text.startsWith(before.text)) kept = Math.max(0, before.tokens.length - 2);
  const from = kept > 0 ? before!.ends[kept - 1]! : 0;
  const tokens = kept > 0 ? before!.tokens.slice(0, kept) : [];
  const ends = kept > 0 ? before!.ends.slice(0, kept) : [];
  let at = from;
  const fresh = new Lexer({ gfm: true, breaks: false }).lex(text.slice(from));
  for (const token of fresh) {
    at += token.raw.length;
    tokens.push(token);
    ends.push(at);
  }
  // The lexer normalises line ends; where lengths do not add up, nothing may be kept.
  if (at !== text.length) ends.fill(0);
  return { text, tokens, ends };
}

export const Markdown = memo(function Markdown({ text, streaming = false }: { text: string; streaming?: boolean }) {
  const parsed = useRef<Parsed | null>(null);
  if (text.length > LONGEST) return <pre className="plain">{visible(text)}</pre>;
  if (parsed.current?.text !== text) parsed.current = parse(text, parsed.current?.ends[0] ? parsed.current : null);
  const { tokens } = parsed.current!;
  return (
    <div className="md" dir="auto">
      {tokens.map((token, at) => (
        <Block key={at} token={token} open={streaming && at === tokens.length - 1} />
      ))}
    </div>
  );
});

/** One block. A token is a new object exactly when its text was parsed anew, so final blocks are drawn once. */
const Block = memo(function Block({ token, open }: { token: Token; open: boolean }): ReactNode {
  return block(token as MarkedToken, open);
});

function blocks(tokens: Token[], open = false): ReactNode {
  return tokens.map((token, at) => <Fragment key={at}>{block(token as MarkedToken, open && at === tokens.length - 1)}</Fragment>);
}

function block(token: MarkedToken, open: boolean): ReactNode {
  switch (token.type) {
    case "space":
    case "def":
      return null;
    case "heading": {
      // The page has its own headings; those of an agent begin below them.
      const Tag = `h${Math.min(6, token.depth + 2)}` as "h3";
      return <Tag>{inline(token.tokens)}</Tag>;
    }
    case "paragraph":
      return <p>{inline(token.tokens)}</p>;
    case "text":
      return token.tokens ? inline(token.tokens) : plain(token.text);
    case "code":
      return <Code text={token.text} lang={token.lang ?? ""} live={open} />;
    case "blockquote":
      return <blockquote>{blocks(token.tokens)}</blockquote>;
    case "hr":
      return <hr />;
    case "list": {
      const items = token.items.map((item: Tokens.ListItem, at: number) => (
        <li key={at} className={item.task ? "task" : undefined}>
          {item.task && <input type="checkbox" checked={item.checked === true} disabled aria-label={item.checked ? "done" : "open"} />}
          {blocks(item.tokens.filter((one) => one.type !== "checkbox"))}
        </li>
      ));
      return token.ordered ? <ol start={token.start === "" ? 1 : token.start}>{items}</ol> : <ul>{items}</ul>;
    }
    case "table":
      return (
        <div className="table" tabIndex={0} role="region" aria-label="Table">
          <table>
            <thead>
              <tr>{token.header.map((cell, at) => <th key={at} className={token.align[at] ?? undefined}>{inline(cell.tokens)}</th>)}</tr>
            </thead>
            <tbody>
              {token.rows.map((row, at) => (
                <tr key={at}>{row.map((cell, place) => <td key={place} className={token.align[place] ?? undefined}>{inline(cell.tokens)}</td>)}</tr>
              ))}
            </tbody>
          </table>
        </div>
      );
    case "html":
      return <p className="raw">{visible(token.text)}</p>;
    default:
      return inline([token]);
  }
}

function inline(tokens: Token[] | undefined): ReactNode {
  return tokens?.map((token, at) => <Fragment key={at}>{span(token as MarkedToken)}</Fragment>);
}

function span(token: MarkedToken): ReactNode {
  switch (token.type) {
    case "text":
      return "tokens" in token && token.tokens ? inline(token.tokens) : plain(token.text);
    case "escape":
      return visible(token.text);
    case "strong":
      return <strong>{inline(token.tokens)}</strong>;
    case "em":
      return <em>{inline(token.tokens)}</em>;
    case "del":
      return <del>{inline(token.tokens)}</del>;
    case "codespan":
      return <code>{visible(token.text)}</code>;
    case "br":
      return <br />;
    case "link":
      return <Link href={decodeEntities(token.href)} bare={token.text === token.href || token.raw === token.href}>{inline(token.tokens)}</Link>;
    case "image":
      return <span className="no-image">[image: {visible(token.text || token.href)}]</span>;
    default:
      return visible(token.raw);
  }
}

function plain(text: string): string {
  return visible(decodeEntities(text));
}

function Link({ href, bare, children }: { href: string; bare: boolean; children: ReactNode }) {
  let url: URL | null = null;
  try {
    url = new URL(href);
  } catch {
    // No address of its own: a path, or nothing at all.
  }
  if (!url || !["http:", "https:", "mailto:"].includes(url.protocol)) {
    return <span className="no-link" title={visible(href)}>{children}</span>;
  }
  const where = url.protocol === "mailto:" ? url.pathname : url.host;
  return (
    <a href={url.href} target="_blank" rel="noopener noreferrer nofollow" title={visible(url.href)}>
      {children}
      {!bare && <span className="where"> ({visible(where)})</span>}
    </a>
  );
}
