import { remember, remembered } from '../stores/storage';
import { narrowest } from './columns';

/** The widths a person gave the columns of one table, kept in this browser. */
export class Widths {
  value = $state.raw<Record<string, number>>({});
  #name: string;

  constructor(name: string) {
    this.#name = `widths.${name}`;
    const stored: unknown = JSON.parse(remembered(this.#name) ?? '{}');
    if (stored && typeof stored === 'object') {
      const entries = Object.entries(stored).filter(([, width]) => typeof width === 'number');
      this.value = Object.fromEntries(entries);
    }
  }

  resize(key: string, width: number): void {
    this.value = { ...this.value, [key]: Math.max(narrowest, Math.round(width)) };
    remember(this.#name, JSON.stringify(this.value));
  }

  reset(key: string): void {
    const { [key]: _, ...rest } = this.value;
    this.value = rest;
    remember(this.#name, JSON.stringify(rest));
  }
}
