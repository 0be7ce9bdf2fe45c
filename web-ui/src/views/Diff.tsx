// A change of a file, inline or side by side. Apart from the first view, with the library that finds the differences.
//
// Invariant: what is shown is computed from both whole texts; what is folded away says how many lines it is.

import { structuredPatch } from "diff";
import { memo, useMemo, useState } from "react";
import type { FileChange } from "../protocol";
import { shortPath, visible } from "../ui/text";
import { recall, remember } from "../state/kept";

const LONGEST = 400_000;
const FOLD = 60;

export interface Line { sign: " " | "+" | "-" | "@"; text: string; before: number | null; after: number | null }

export function linesOf(change: FileChange): Line[] | null {
  const before = change.old_text ?? "";
  const after = change.new_text ?? "";
  if (before.length + after.length > LONGEST) return null;
  const patch = structuredPatch("", "", before, after, "", "", { context: 3, timeout: 200 });
  if (!patch) return null;
  return patch.hunks.flatMap((hunk, at) => hunkLines(hunk, at > 0 || hunk.oldStart > 1));
}

export function hunkLines(hunk: { oldStart: number; newStart: number; lines: string[] }, head: boolean): Line[] {
  let before = hunk.oldStart;
  let after = hunk.newStart;
  const lines: Line[] = head ? [{ sign: "@", text: `line ${hunk.newStart}`, before: null, after: null }] : [];
  for (const line of hunk.lines) {
    const sign = line[0];
    if (sign === "+") lines.push({ sign, text: line.slice(1), before: null, after: after++ });
    else if (sign === "-") lines.push({ sign, text: line.slice(1), before: before++, after: null });
    else if (sign !== "\\") lines.push({ sign: " ", text: line.slice(1), before: before++, after: after++ });
  }
  return lines;
}

export default memo(function Diff({ change }: { change: FileChange }) {
  const lines = useMemo(() => linesOf(change), [change.old_text, change.new_text]);
  return <DiffLines path={change.path} lines={lines} fresh={change.old_text === null || change.old_text === undefined} />;
});

export function DiffLines({ path, lines, fresh = false }: { path: string; lines: Line[] | null; fresh?: boolean }) {
  const [split, setSplit] = useState(recall("diff") === "split");
  const [all, setAll] = useState(false);
  const plus = lines?.filter((line) => line.sign === "+").length ?? 0;
  const minus = lines?.filter((line) => line.sign === "-").length ?? 0;
  const shown = lines && !all && lines.length > FOLD + 20 ? lines.slice(0, FOLD) : lines;
  return (
    <div className="diff">
      <div className="code-bar">
        <span className="mono" title={visible(path)}>{visible(shortPath(path))}</span>
        <span className="counts">
          {fresh && <span>new file</span>}
          <span className="plus">+{plus}</span> <span className="minus">−{minus}</span>
          <button
            type="button" className="link" aria-pressed={split}
            onClick={() => {
              remember("diff", split ? null : "split");
              setSplit(!split);
            }}
          >
            {split ? "inline" : "side by side"}
          </button>
        </span>
      </div>
      {!shown && <p className="hint pad">This change is too large to be compared here.</p>}
      {shown && (
        <div className="diff-scroll" tabIndex={0} role="region" aria-label={`Change of ${visible(path)}`}>
          {split ? <Split lines={shown} /> : <Inline lines={shown} />}
        </div>
      )}
      {lines && shown && shown.length < lines.length && (
        <button type="button" className="link more" onClick={() => setAll(true)}>Show {lines.length - shown.length} more lines</button>
      )}
    </div>
  );
}

const CLASS = { " ": "same", "+": "plus", "-": "minus", "@": "hunk" } as const;

function Inline({ lines }: { lines: Line[] }) {
  return (
    <table className="diff-lines">
      <tbody>
        {lines.map((line, at) => (
          <tr key={at} className={CLASS[line.sign]}>
            <td className="n">{line.before ?? ""}</td>
            <td className="n">{line.after ?? ""}</td>
            <td className="sign">{line.sign === "@" ? "" : line.sign}</td>
            <td className="text">{visible(line.text) || " "}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Split({ lines }: { lines: Line[] }) {
  const rows = useMemo(() => pair(lines), [lines]);
  return (
    <table className="diff-lines split">
      <tbody>
        {rows.map(([left, right], at) => (
          <tr key={at}>
            <td className="n">{left?.before ?? ""}</td>
            <td className={`text ${left ? CLASS[left.sign] : "none"}`}>{left ? visible(left.text) || " " : ""}</td>
            <td className="n">{right?.after ?? ""}</td>
            <td className={`text ${right ? CLASS[right.sign] : "none"}`}>{right ? visible(right.text) || " " : ""}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** Lines taken away stand beside those that came in their place. */
function pair(lines: Line[]): [Line | null, Line | null][] {
  const rows: [Line | null, Line | null][] = [];
  for (let at = 0; at < lines.length; ) {
    const line = lines[at]!;
    if (line.sign === " " || line.sign === "@") {
      rows.push([line, line]);
      at += 1;
      continue;
    }
    const gone: Line[] = [];
    const came: Line[] = [];
    for (; lines[at]?.sign === "-"; at += 1) gone.push(lines[at]!);
    for (; lines[at]?.sign === "+"; at += 1) came.push(lines[at]!);
    for (let n = 0; n < Math.max(gone.length, came.length); n += 1) rows.push([gone[n] ?? null, came[n] ?? null]);
  }
  return rows;
}
