// Words for people. Pure.
//
// Invariant: a character that hides itself or turns the reading around is shown as its code, because text of an agent
// stands beside our own.

const HIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]|\udb40[\udc00-\udc7f]/g;
// Colours and cursor movements of terminals, which a page has no use for.
const ESCAPES = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]{0,2000}(?:\u0007|\u001b\\)?|[PX^_][^\u001b]{0,2000}(?:\u001b\\)?|[ -/]*[0-~])/g;

/** Text of an agent without what acts on a reader unseen. */
export function visible(text: string): string {
  HIDDEN.lastIndex = 0;
  if (!HIDDEN.test(text)) return text;
  return text
    .replace(ESCAPES, "")
    .replace(/\r\n/g, "\n")
    .replace(HIDDEN, (char) => (char === "\u200b" || char === "\u00ad" || char === "\ufeff" ? "" : `‹${(char.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}›`));
}

const NAMED: { [name: string]: string } = {
  amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0", copy: "©", reg: "®", trade: "™", hellip: "…", mdash: "—",
  ndash: "–", lsquo: "‘", rsquo: "’", ldquo: "“", rdquo: "”", times: "×", divide: "÷", rarr: "→", larr: "←", uarr: "↑",
  darr: "↓", harr: "↔", bull: "•", middot: "·", deg: "°", plusmn: "±", le: "≤", ge: "≥", ne: "≠", euro: "€", pound: "£",
  sect: "§", para: "¶", check: "✓", infin: "∞", laquo: "«", raquo: "»", frac12: "½",
};

/** Character references as Markdown has them; one that is not known stays as it is written. */
export function decodeEntities(text: string): string {
  if (!text.includes("&")) return text;
  return text.replace(/&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|(\w{2,8}));/g, (all, dec?: string, hex?: string, name?: string) => {
    if (name) return NAMED[name] ?? all;
    const code = dec ? Number(dec) : parseInt(hex!, 16);
    return code > 0 && code <= 0x10ffff && !(code >= 0xd800 && code < 0xe000) ? String.fromCodePoint(code) : "\ufffd";
  });
}

export function age(ms: number, now: number): string {
  const s = Math.max(0, Math.round((now - ms) / 1000));
  if (s < 5) return "now";
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m`;
  if (s < 86_400) return `${Math.floor(s / 3600)}h`;
  return `${Math.floor(s / 86_400)}d`;
}

export function span(ms: number): string {
  if (ms < 950) return `${Math.max(0, Math.round(ms / 100) / 10)} s`;
  const s = Math.round(ms / 1000);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60 ? `${s % 60} s` : ""}`.trim();
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}

export function money(cost: { amount: number; currency: string; estimated?: boolean }): string {
  const digits = cost.amount !== 0 && Math.abs(cost.amount) < 0.01 ? 4 : 2;
  const sign = cost.currency === "USD" ? "$" : cost.currency === "EUR" ? "€" : `${cost.currency} `;
  return `${cost.estimated ? "≈" : ""}${sign}${cost.amount.toFixed(digits)}`;
}

export function count(n: number): string {
  if (n < 1000) return String(n);
  if (n < 1_000_000) return `${(n / 1000).toFixed(n < 10_000 ? 1 : 0)}k`;
  return `${(n / 1_000_000).toFixed(1)}M`;
}

export function bytes(n: number): string {
  if (n < 1024) return `${n} B`;
  if (n < 1_048_576) return `${Math.ceil(n / 1024)} KiB`;
  return `${(n / 1_048_576).toFixed(1)} MiB`;
}

export function clock(ms: number): string {
  const then = new Date(ms);
  const time = then.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return then.toDateString() === new Date().toDateString() ? time : `${then.toLocaleDateString([], { month: "short", day: "numeric" })} ${time}`;
}

/** A path whose beginning says little, without it. */
export function shortPath(path: string): string {
  const home = /^\/(?:home|Users)\/[^/]+/.exec(path)?.[0] ?? (path.startsWith("/root") ? "/root" : null);
  return home ? `~${path.slice(home.length)}` : path;
}
