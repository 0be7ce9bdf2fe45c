// A block of code: shown at once as it is, coloured when the highlighter has come and the block is whole.
//
// Invariant: colour never changes the layout: the same text, in spans.

import { memo, useEffect, useState, type ReactNode } from "react";
import { CopyButton } from "../ui/CopyButton";
import { visible } from "../ui/text";

/** Beyond this colouring costs more than it gives. */
const LONGEST = 40_000;

export const Code = memo(function Code({ text, lang, live = false }: { text: string; lang: string; live?: boolean }) {
  const [coloured, setColoured] = useState<{ of: string; nodes: ReactNode } | null>(null);
  const name = lang.split(/[\s,{]/)[0]?.toLowerCase() ?? "";
  useEffect(() => {
    if (live || !name || text.length > LONGEST) return;
    let wanted = true;
    void import("./highlight").then(({ highlight }) => highlight(text, name)).then((nodes) => {
      if (wanted && nodes) setColoured({ of: text, nodes });
    }, () => undefined);
    return () => {
      wanted = false;
    };
  }, [text, name, live]);
  return (
    <div className="code">
      <div className="code-bar">
        <span>{visible(name)}</span>
        <CopyButton text={text} label="Copy code" />
      </div>
      <pre tabIndex={0}><code>{coloured?.of === text ? coloured.nodes : visible(text)}</code></pre>
    </div>
  );
});
