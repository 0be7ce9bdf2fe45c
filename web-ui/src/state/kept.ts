// What this browser remembers between visits, beside the transcripts: the token, drafts, the theme.
//
// Invariant: storage that is full or forbidden costs the memory, never the page.

export function recall(name: string): string | null {
  try {
    return localStorage.getItem(`vibes.${name}`);
  } catch {
    return null;
  }
}

export function remember(name: string, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(`vibes.${name}`);
    else localStorage.setItem(`vibes.${name}`, value);
  } catch {
    // A full or forbidden storage: the page works without.
  }
}

export function recallJson<T>(name: string, otherwise: T): T {
  try {
    return JSON.parse(recall(name) ?? "null") ?? otherwise;
  } catch {
    return otherwise;
  }
}

/** The same for this tab alone. */
export function recallTab(name: string): string | null {
  try {
    return sessionStorage.getItem(`vibes.${name}`);
  } catch {
    return null;
  }
}

export function rememberTab(name: string, value: string | null): void {
  try {
    if (value === null) sessionStorage.removeItem(`vibes.${name}`);
    else sessionStorage.setItem(`vibes.${name}`, value);
  } catch {
    // As above.
  }
}

const DRAFTS = 100;

/** Drafts by session; `new` is that of the first message without one. */
export function draft(session: string): string {
  return recall(`draft.${session}`) ?? "";
}

export function keepDraft(session: string, text: string): void {
  remember(`draft.${session}`, text || null);
  const known = recallJson<string[]>("drafts", []).filter((id) => id !== session);
  if (text) known.push(session);
  while (known.length > DRAFTS) remember(`draft.${known.shift()}`, null);
  remember("drafts", JSON.stringify(known));
}

const RECENT = 20;

export function recentDirectories(): string[] {
  return recallJson<string[]>("directories", []);
}

export function rememberDirectory(path: string): void {
  remember("directories", JSON.stringify([path, ...recentDirectories().filter((one) => one !== path)].slice(0, RECENT)));
}
