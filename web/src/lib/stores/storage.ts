/** Reads what this browser was told to remember; null when nothing or forbidden. */
export function remembered(key: string): string | null {
  try {
    return localStorage.getItem(`amoskys.${key}`);
  } catch {
    return null;
  }
}

/** Remembers a value in this browser; null forgets it. */
export function remember(key: string, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(`amoskys.${key}`);
    else localStorage.setItem(`amoskys.${key}`, value);
  } catch {
    // Storage may be full or forbidden: then the choice lasts until reload.
  }
}
