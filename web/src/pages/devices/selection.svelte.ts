/** The devices that somebody has selected, by their uids. */
export class Selected {
  uids = $state.raw<ReadonlySet<string>>(new Set());
  #last: string | null = null;

  get size(): number {
    return this.uids.size;
  }

  has(uid: string): boolean {
    return this.uids.has(uid);
  }

  /**
   * Selects a row, or drops it. With `extend` all rows between it and the one before
   * become as that one is.
   */
  toggle(uid: string, extend: boolean, rows: readonly { uid: string }[]): void {
    const next = new Set(this.uids);
    const from = this.#last === null ? -1 : rows.findIndex((row) => row.uid === this.#last);
    const to = rows.findIndex((row) => row.uid === uid);
    const put = (each: string, on: boolean) => (on ? next.add(each) : next.delete(each));
    if (extend && from >= 0 && to >= 0) {
      const on = next.has(rows[from]?.uid ?? '');
      for (const row of rows.slice(Math.min(from, to), Math.max(from, to) + 1)) put(row.uid, on);
    } else put(uid, !next.has(uid));
    this.#last = uid;
    this.uids = next;
  }

  all(rows: readonly { uid: string }[]): void {
    this.uids = new Set(rows.map((row) => row.uid));
  }

  clear(): void {
    this.uids = new Set();
    this.#last = null;
  }
}
