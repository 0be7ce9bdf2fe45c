// Copies a text, and says that it did.

import { useState } from "react";
import { Icon } from "./Icon";

export async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

export function CopyButton({ text, label }: { text: string; label: string }) {
  const [done, setDone] = useState(false);
  return (
    <button
      type="button" className="icon-button small" aria-label={done ? "Copied" : label} title={label}
      onClick={() => void copy(text).then((ok) => {
        setDone(ok);
        setTimeout(() => setDone(false), 1500);
      })}
    >
      <Icon name={done ? "check" : "copy"} />
    </button>
  );
}
