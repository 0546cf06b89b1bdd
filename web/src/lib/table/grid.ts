import type { Snippet } from 'svelte';
import type { GridColumn } from './columns';
import { type Tall, topOf } from './virtual';
import type { Widths } from './widths.svelte';

export type Key = string | number;

/** What a Grid is given. */
export interface GridProps<Row> {
  label: string;
  rows: readonly Row[];
  columns: readonly GridColumn[];
  widths: Widths;
  rowKey: (row: Row) => Key;
  /** The cells of a row. */
  row: Snippet<[Row]>;
  /** Drawn beneath the open row. */
  opened?: Snippet<[Row]>;
  openKey?: Key | null;
  /** The key of the column that sorts, with "-" before it for descending. */
  sort?: string;
  onsort?: (key: string) => void;
  onopen: (row: Row) => void;
  /** Selects a row, or drops it: by the key x, and with Shift all rows up to it. */
  onselect?: (row: Row, extend: boolean) => void;
  /** Called when the last rows come into sight. */
  onend?: () => void;
  onscrolled?: (atTop: boolean) => void;
  rowClass?: (row: Row) => string;
}

/** The row that a key moves to; null when it is no key that moves. */
export function movedBy(key: string, active: number, count: number, page: number): number | null {
  const moves: Record<string, number> = {
    ArrowDown: active + 1,
    ArrowUp: active - 1,
    PageDown: active + page,
    PageUp: active - page,
    Home: 0,
    End: count - 1,
  };
  const to = moves[key];
  return to === undefined ? null : Math.max(0, Math.min(count - 1, to));
}

/**
 * Remembers a row and where it is seen, so that rows that come in above it do not
 * push it away: the opened one while it is in sight, else the one at the top.
 */
export class Anchor<Row> {
  #key: Key | null = null;
  #offset = 0;

  set(
    rows: readonly Row[],
    rowKey: (row: Row) => Key,
    height: number,
    scrollTop: number,
    opened: { tall: Tall; viewport: number } | null = null,
  ): void {
    let index = Math.floor(scrollTop / height);
    let top = index * height;
    if (opened) {
      const own = topOf(opened.tall.index, height, opened.tall);
      const end = own + height + opened.tall.extra;
      if (end > scrollTop && own < scrollTop + opened.viewport) [index, top] = [opened.tall.index, own];
      else if (scrollTop >= end) {
        index = Math.floor((scrollTop - opened.tall.extra) / height);
        top = topOf(index, height, opened.tall);
      }
    }
    const row = rows[index];
    const stays = opened?.tall.index === index || scrollTop >= height;
    this.#key = row && stays ? rowKey(row) : null;
    this.#offset = top - scrollTop;
  }

  /** Where to scroll to keep that row in its place; null when it is there. */
  correct(
    rows: readonly Row[],
    rowKey: (row: Row) => Key,
    height: number,
    scrollTop: number,
    tall: Tall | null,
  ): number | null {
    if (this.#key === null) return null;
    const index = rows.findIndex((row) => rowKey(row) === this.#key);
    if (index < 0) return null;
    const top = topOf(index, height, tall) - this.#offset;
    return Math.abs(top - scrollTop) < 1 ? null : top;
  }
}
