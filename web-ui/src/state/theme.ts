// Dark or light: as the system has it, or as this browser was told.

import { recall, remember } from "./kept";

export type Theme = "system" | "light" | "dark";

export const theme = {
  get: (): Theme => (recall("theme") as Theme | null) ?? "system",
  set(choice: Theme): void {
    remember("theme", choice === "system" ? null : choice);
    theme.apply();
  },
  apply(): void {
    const choice = theme.get();
    if (choice === "system") document.documentElement.removeAttribute("data-theme");
    else document.documentElement.dataset["theme"] = choice;
  },
};
