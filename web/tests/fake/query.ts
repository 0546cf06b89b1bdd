import type { Event, Mend } from '../../src/lib/api/types';
import { tokenize } from '../../src/lib/query/tokens';

export class QueryFault extends Error {
  readonly position: number;
  readonly mend: Mend | undefined;
  constructor(message: string, position: number, mend?: Mend) {
    super(message);
    this.position = position;
    this.mend = mend;
  }
}

type Test = (event: Event) => boolean;

/** Enough of the query language for the UI's tests: terms joined by AND, with negation. */
export function compile(query: string): Test {
  const tests: Test[] = [];
  let negated = false;
  const open = query.indexOf('(');
  if (open >= 0 && !query.includes(')')) throw new QueryFault('missing ")"', open);
  for (const token of tokenize(query)) {
    if (token.kind === 'field' && token.text === 'hots')
      throw new QueryFault('there is no field "hots", did you mean host?', token.start, {
        from: token.start,
        to: token.start + 4,
        text: 'host',
      });
    if (token.kind === 'operator' && token.text !== 'AND' && token.text !== 'OR') negated = true;
    if (token.kind !== 'value' && token.kind !== 'word') continue;
    if (token.kind === 'value' && token.text === '') throw new QueryFault('expected a value', token.start);
    const test = token.kind === 'value' ? fieldTest(token.field ?? '', token.text) : wordTest(token.text);
    const no = negated;
    tests.push((event) => test(event) !== no);
    negated = false;
  }
  return (event) => tests.every((test) => test(event));
}

const plain = (text: string) => text.replace(/^:?=?/, '').replace(/^"|"$/g, '').replaceAll('\\"', '"');

function fieldTest(field: string, text: string): Test {
  const wanted = plain(text);
  const exact = text.startsWith('=');
  return (event) => {
    const own = (event as unknown as Record<string, unknown>)[field] ?? event.fields[field];
    if (own === undefined) return false;
    if (wanted === '*') return true;
    if (wanted.endsWith('*')) return String(own).startsWith(wanted.slice(0, -1));
    return exact ? String(own) === wanted : String(own).toLowerCase().includes(wanted.toLowerCase());
  };
}

function wordTest(text: string): Test {
  const wanted = plain(text).toLowerCase();
  if (wanted === '*') return () => true;
  return (event) => JSON.stringify(event).toLowerCase().includes(wanted);
}
