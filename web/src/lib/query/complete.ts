import type { Facet, FieldInfo } from '../api/types';
import { quote } from './edit';
import { tokenize } from './tokens';

export interface Suggestion {
  /** What is shown, and what it means. */
  label: string;
  note: string;
  /** The query and caret once it is taken. */
  query: string;
  caret: number;
}

export interface Knowledge {
  fields: FieldInfo[];
  facets: Facet[];
}

const most = 12;

/** What could be meant at the caret: fields, words of the language, or values. */
export function complete(query: string, caret: number, known: Knowledge): Suggestion[] {
  const token = tokenize(query).find((each) => each.start < caret && caret <= each.end);
  if (token?.kind === 'value' && token.field) {
    return values(query, token.start, token.end, caret, token.field, known);
  }
  if (token?.kind === 'field' && caret === token.end) {
    return values(query, token.end, token.end, caret, token.text, known);
  }
  if (token && token.kind !== 'word') return [];
  return names(query, token?.start ?? caret, token?.end ?? caret, caret, known);
}

function names(query: string, start: number, end: number, caret: number, known: Knowledge): Suggestion[] {
  const typed = query.slice(start, caret).toLowerCase();
  const found = rank(known.fields, typed, (field) => field.name).map((field) =>
    replaced(query, start, end, `${field.name}:`, `${field.name}:`, field.description || field.type, ''),
  );
  return found.slice(0, most);
}

function values(
  query: string,
  start: number,
  end: number,
  caret: number,
  field: string,
  known: Knowledge,
): Suggestion[] {
  const operator = /^(:?[=<>]=?|!=)?/.exec(query.slice(start, caret))?.[0] ?? '';
  const typed = query
    .slice(start + operator.length, caret)
    .replace(/^"/, '')
    .toLowerCase();
  const candidates = new Map<string, string>();
  for (const each of known.facets.find((facet) => facet.field === field)?.values ?? []) {
    candidates.set(each.value, `${each.count} events`);
  }
  for (const value of known.fields.find((each) => each.name === field)?.example_values ?? []) {
    if (!candidates.has(value)) candidates.set(value, 'known value');
  }
  return rank([...candidates], typed, ([value]) => value)
    .slice(0, most)
    .map(([value, note]) => replaced(query, start, end, value, (operator || '=') + quote(value), note, ' '));
}

/** Those that start with what was typed, then those that hold it. */
function rank<T>(all: readonly T[], typed: string, name: (item: T) => string): T[] {
  const starts: T[] = [];
  const holds: T[] = [];
  for (const item of all) {
    const text = name(item).toLowerCase();
    if (text.startsWith(typed)) starts.push(item);
    else if (text.includes(typed)) holds.push(item);
  }
  return [...starts, ...holds];
}

function replaced(
  query: string,
  start: number,
  end: number,
  label: string,
  text: string,
  note: string,
  after: string,
): Suggestion {
  const tail = query.slice(end);
  const space = after && !tail.startsWith(' ') ? after : '';
  return {
    label,
    note,
    query: query.slice(0, start) + text + space + tail,
    caret: start + text.length + (after ? 1 : 0),
  };
}
