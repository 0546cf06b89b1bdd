/**
 * A light reading of the query language, enough to complete, to add filters
 * and to mark words. The server alone decides what a query means.
 */
export interface Token {
  kind: 'word' | 'field' | 'operator' | 'paren' | 'value' | 'pipe';
  text: string;
  start: number;
  end: number;
  /** The field a value belongs to. */
  field?: string;
}

const operators = new Set(['AND', 'OR', 'NOT']);

export function tokenize(query: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (at < query.length) {
    const character = query[at] ?? '';
    if (/\s/.test(character)) {
      at += 1;
      continue;
    }
    if (character === '|') {
      tokens.push({ kind: 'pipe', text: '|', start: at, end: at + 1 });
      at += 1;
      continue;
    }
    if (character === '(' || character === ')') {
      tokens.push({ kind: 'paren', text: character, start: at, end: at + 1 });
      at += 1;
      continue;
    }
    if (/[-!]/.test(character) && /[^\s]/.test(query[at + 1] ?? ' ')) {
      tokens.push({ kind: 'operator', text: character, start: at, end: at + 1 });
      at += 1;
      continue;
    }
    at = readTerm(query, at, tokens);
  }
  return tokens;
}

function readTerm(query: string, start: number, tokens: Token[]): number {
  const name = /^[A-Za-z_@][\w.@-]*(?=:)/.exec(query.slice(start))?.[0];
  if (name) {
    const valueStart = start + name.length + 1;
    tokens.push({ kind: 'field', text: name, start, end: valueStart });
    const end = endOfValue(query, valueStart);
    tokens.push({ kind: 'value', text: query.slice(valueStart, end), start: valueStart, end, field: name });
    return end;
  }
  const end = Math.max(endOfValue(query, start), start + 1);
  const text = query.slice(start, end);
  tokens.push({ kind: operators.has(text) ? 'operator' : 'word', text, start, end });
  return end;
}

/** A value runs to the next blank or bracket, but quotes and in(…) hold it together. */
function endOfValue(query: string, start: number): number {
  let at = start;
  while (at < query.length) {
    const character = query[at] ?? '';
    if (/["'`]/.test(character)) {
      at = endOfQuote(query, at);
    } else if (character === '(' && /^in$/.test(query.slice(start, at))) {
      const close = query.indexOf(')', at);
      return close < 0 ? query.length : close + 1;
    } else if (/[\s()|]/.test(character)) {
      return at;
    } else {
      at += 1;
    }
  }
  return at;
}

function endOfQuote(query: string, open: number): number {
  const quote = query[open];
  let at = open + 1;
  while (at < query.length && query[at] !== quote) at += query[at] === '\\' && quote !== '`' ? 2 : 1;
  return Math.min(at + 1, query.length);
}

/**
 * A query's filter, and its pipes from the first bar on that stands outside quotes and
 * brackets; without pipes that part is empty.
 */
export function splitPipes(query: string): { filter: string; pipes: string } {
  let depth = 0;
  for (const token of tokenize(query)) {
    if (token.text === '(') depth += 1;
    else if (token.text === ')') depth -= 1;
    else if (token.kind === 'pipe' && depth <= 0)
      return { filter: query.slice(0, token.start).trim(), pipes: query.slice(token.start) };
  }
  return { filter: query.trim(), pipes: '' };
}

/** A filter and pipes as one query; nothing before a bar is everything. */
export function joinPipes(filter: string, pipes: string): string {
  const text = filter.trim();
  if (!pipes.trim()) return text;
  return `${text || '*'} ${pipes.trim()}`;
}
