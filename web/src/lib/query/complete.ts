import type { Completion, CompletionOption, Mend } from '../api/types';
import { short } from '../format/units';

/** A query and the caret in it. */
export interface Typed {
  query: string;
  caret: number;
}

/** The query once an option is taken, with the caret behind it. */
export function taken(typed: Typed, at: Pick<Completion, 'from' | 'to'>, option: CompletionOption): Typed {
  const tail = typed.query.slice(at.to);
  const text = tail.startsWith(' ') ? option.text.trimEnd() : option.text;
  const before = typed.query.slice(0, at.from) + text;
  return { query: before + tail, caret: before.length + (text === option.text ? 0 : 1) };
}

/** The query with what was probably meant. */
export function mended(query: string, mend: Mend): string {
  return query.slice(0, mend.from) + mend.text + query.slice(mend.to);
}

/** What stands beside an option: in how many events it is, and what it means. */
export function noteOf(option: CompletionOption): string {
  const { about, events } = option;
  if (events === undefined) return about;
  const count = events === 0 ? 'none in this range' : `${short(events)} ${events === 1 ? 'event' : 'events'}`;
  return about ? `${count} · ${about}` : count;
}

/** Why values may be lacking; empty where they are all there. */
export function lackOf(stored: Completion['stored']): string {
  switch (stored) {
    case 'away':
      return 'The store is away: values are those that the language knows.';
    case 'late':
      return 'The store took too long: type more, or choose a shorter range, for its values.';
    case 'busy':
      return 'The store is busy: its values are left out.';
    default:
      return '';
  }
}
