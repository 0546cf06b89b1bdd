import type { Facet, FieldInfo } from '../api/types';
import { quote } from './edit';
import { type Token, tokenize } from './tokens';

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
  const tokens = tokenize(query);
  const token = tokens.find((each) => each.start < caret && caret <= each.end);
  const before = tokens.filter((each) => each.end <= (token?.start ?? caret));
  if (token?.kind === 'pipe') return piped(query, caret, caret, caret, true, known);
  if (before.some((each) => each.kind === 'pipe') && (!token || token.kind === 'word' || token.text === '('))
    return inPipe(query, token, before, caret, known);
  if (token?.kind === 'value' && token.field) {
    return values(query, token.start, token.end, caret, token.field, known);
  }
  if (token?.kind === 'field' && caret === token.end) {
    return values(query, token.end, token.end, caret, token.text, known);
  }
  if (token && token.kind !== 'word') return [];
  return names(query, token?.start ?? caret, token?.end ?? caret, caret, known);
}

/** What a query can go on with after a bar, and what that does. */
const pipes = [
  ['stats by (host) count() events', 'count, sum or average by fields'],
  ['top 10 by (', 'the commonest values'],
  ['sort by (events desc)', 'order'],
  ['limit 20', 'the first rows alone'],
  ['fields ', 'these fields alone'],
  ['uniq by (', 'each value once'],
  ['filter ', 'rows that match'],
] as const;

const functions = [
  'count()',
  'count_uniq(',
  'sum(',
  'avg(',
  'min(',
  'max(',
  'median(',
  'quantile(0.95, ',
] as const;

function inPipe(
  query: string,
  token: Token | undefined,
  before: readonly Token[],
  caret: number,
  known: Knowledge,
): Suggestion[] {
  const word = token?.kind === 'word' ? token : undefined;
  const start = word?.start ?? caret;
  return piped(query, start, word?.end ?? caret, caret, before.at(-1)?.kind === 'pipe', known);
}

function piped(
  query: string,
  start: number,
  end: number,
  caret: number,
  first: boolean,
  known: Knowledge,
): Suggestion[] {
  const typed = query.slice(start, caret).toLowerCase();
  const space = first && query[start - 1] === '|' ? ' ' : '';
  const words: (readonly [string, string])[] = first
    ? [...pipes]
    : [
        ...known.fields.map((field) => [field.name, field.description || field.type] as const),
        ...functions.map((name) => [name, 'statistics'] as const),
      ];
  if (!first && !typed) return [];
  return rank(words, typed, ([name]) => name)
    .slice(0, most)
    .map(([name, note]) => replaced(query, start, end, name, space + name, note, ''));
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

/** The field, and the beginning of a value, that stand at the caret; null elsewhere. */
export function valueAt(query: string, caret: number): { field: string; prefix: string } | null {
  const token = tokenize(query).find((each) => each.start < caret && caret <= each.end);
  if (token?.kind === 'field' && caret === token.end) return { field: token.text, prefix: '' };
  if (token?.kind !== 'value' || !token.field) return null;
  const typed = query.slice(token.start, caret);
  const prefix = typed.replace(/^(:?[=<>]=?|!=)?["'`]?/, '');
  return /^(in\(|~)/.test(prefix) ? null : { field: token.field, prefix };
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
