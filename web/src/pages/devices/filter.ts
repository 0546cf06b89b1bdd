/**
 * The language of the server's filter: words, and "key:value" that looks in one fact
 * alone, a value with blanks in quotes, and a minus before what must not hold. All of
 * them have to be met.
 */
export const filterKeys = [
  'class',
  'port',
  'vendor',
  'os',
  'service',
  'subnet',
  'up',
  'plugged',
  'name',
  'ip',
  'mac',
  'model',
  'host',
  'findings',
  'known',
  'owner',
  'tag',
  'note',
] as const;
export type FilterKey = (typeof filterKeys)[number];

export interface Term {
  /** Empty for a plain word. */
  key: string;
  value: string;
  start: number;
  end: number;
}

/** Whether a filter asks what people say of devices, which the server's counts leave out of account. */
export function asksMarks(filter: string): boolean {
  const unquoted = filter.replace(/"[^"]*"/g, '""'); // a colon in quotes is text
  return /(?:^|\s)-?(?:device\.)?(?:known|owner|tags?|note):/i.test(unquoted);
}

/** Reads a filter as far as it has to be known to change it; the server alone says what it means. */
export function terms(filter: string): Term[] {
  const found: Term[] = [];
  const pattern = /(?:([a-z]+):)?("[^"]*"?|\S+)/gi;
  for (const match of filter.matchAll(pattern)) {
    found.push({
      key: (match[1] ?? '').toLowerCase(),
      value: (match[2] ?? '').replace(/^"|"$/g, ''),
      start: match.index,
      end: match.index + match[0].length,
    });
  }
  return found;
}

/** Whether somebody is in the middle of a word: a key without its value, a quote without its second. */
export function isUnfinished(filter: string): boolean {
  const key = /(?:^|\s)-?([a-z]+):$/i.exec(filter)?.[1]?.toLowerCase();
  return filterKeys.some((each) => each === key) || filter.split('"').length % 2 === 0;
}

/** A value as the language writes it. */
export function quoted(value: string): string {
  return /[\s"]/.test(value) ? `"${value.replaceAll('"', '')}"` : value;
}

/** The value that a filter asks of a fact; empty where it asks none. */
export function wantedOf(filter: string, key: FilterKey): string {
  return terms(filter).find((term) => term.key === key)?.value ?? '';
}

/** A filter that asks this value of a fact and no other; empty asks none. */
export function withValue(filter: string, key: FilterKey, value: string): string {
  let rest = '';
  let at = 0;
  for (const term of terms(filter)) {
    if (term.key !== key) continue;
    rest += filter.slice(at, term.start);
    at = term.end;
  }
  rest = `${rest}${filter.slice(at)}`.replace(/\s+/g, ' ').trim();
  const wanted = value === '' ? '' : `${key}:${quoted(value)}`;
  return [rest, wanted].filter(Boolean).join(' ');
}
