// A button that opens a list of things to do. Arrow keys walk, Escape closes and gives the focus back.

import { useEffect, useId, useRef, useState, type KeyboardEvent, type ReactNode } from "react";
import { Icon } from "./Icon";

export interface MenuItem { label: string; hint?: string; icon?: string; danger?: boolean; checked?: boolean; disabled?: boolean; run(): void }

export function Menu({ label, items, children, className = "icon-button", up = false, align = "end" }: {
  label: string; items: (MenuItem | null)[]; children: ReactNode; className?: string; up?: boolean; align?: "start" | "end";
}) {
  const [open, setOpen] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  const id = useId();
  useEffect(() => {
    if (!open) return;
    const inside = box.current?.querySelector<HTMLElement>('[aria-checked="true"]') ?? box.current?.querySelector<HTMLElement>('[role^="menuitem"]');
    inside?.focus();
    const away = (event: Event) => {
      if (!box.current?.contains(event.target as Node)) setOpen(false);
    };
    document.addEventListener("pointerdown", away);
    return () => document.removeEventListener("pointerdown", away);
  }, [open]);
  const keys = (event: KeyboardEvent) => {
    if (!open) return;
    const all = [...(box.current?.querySelectorAll<HTMLElement>('[role^="menuitem"]:not([disabled])') ?? [])];
    const at = all.indexOf(document.activeElement as HTMLElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (event.key === "Escape" || event.key === "Tab") {
      setOpen(false);
      box.current?.querySelector<HTMLElement>("button")?.focus();
      if (event.key === "Escape") event.stopPropagation();
    } else if (to !== undefined) {
      all[(to + all.length) % all.length]?.focus();
      event.preventDefault();
    }
  };
  return (
    <div className="menu" ref={box} onKeyDown={keys}>
      <button type="button" className={className} aria-haspopup="menu" aria-expanded={open} aria-controls={open ? id : undefined} aria-label={label} title={label} onClick={() => setOpen(!open)}>
        {children}
      </button>
      {open && (
        <div id={id} role="menu" aria-label={label} className={`menu-list ${up ? "up" : ""} ${align}`}>
          {items.map((item, at) =>
            item === null ? <hr key={at} /> : (
              <button
                key={at} type="button" role={item.checked === undefined ? "menuitem" : "menuitemradio"} aria-checked={item.checked}
                className={item.danger ? "danger" : undefined} disabled={item.disabled} tabIndex={-1}
                onClick={() => {
                  setOpen(false);
                  box.current?.querySelector<HTMLElement>("button")?.focus();
                  item.run();
                }}
              >
                <span className="menu-icon">{item.checked ? <Icon name="check" size={14} /> : item.icon ? <Icon name={item.icon} size={14} /> : null}</span>
                <span>{item.label}{item.hint && <small>{item.hint}</small>}</span>
              </button>
            ),
          )}
        </div>
      )}
    </div>
  );
}
