import { joinPipes, splitPipes, tokenize } from './tokens';

/** What replayed captures told is of another time or network, and is left out unless it is asked for. */
export const withoutCaptures = '-labels.capture:*';

/** A value as the query language writes it after `:=`. */
export function quote(value: string): string {
  return /^[A-Za-z0-9_][\w./@+-]*$/.test(value)
    ? value
    : `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}

export function term(field: string, value: string | number | boolean): string {
  return `${field}:=${quote(String(value))}`;
}

/**
 * Adds a filter to a query, or its negation. The opposite filter gives way;
 * a filter that is there already stays alone.
 */
export function withFilter(
  query: string,
  field: string,
  value: string | number | boolean,
  exclude = false,
): string {
  const wanted = term(field, value);
  const { filter, pipes } = splitPipes(query);
  let rest = without(filter, `-${wanted}`);
  if (exclude) rest = join(without(rest, wanted), `-${wanted}`);
  else if (!hasTerm(rest, wanted)) rest = join(rest, wanted);
  return joinPipes(rest, pipes);
}

/** Whether a query holds exactly this filter, not negated, at its top level. */
export function hasFilter(query: string, field: string, value: string): boolean {
  return hasTerm(splitPipes(query).filter, term(field, value));
}

/** Takes a filter out of a query, if it holds it. */
export function withoutFilter(query: string, field: string, value: string): string {
  const { filter, pipes } = splitPipes(query);
  return joinPipes(without(filter, term(field, value)), pipes);
}

function hasTerm(query: string, wanted: string): boolean {
  return positions(query, wanted).length > 0;
}

function without(query: string, unwanted: string): string {
  let text = query;
  for (const [start, end] of positions(query, unwanted).reverse()) {
    text = `${text.slice(0, start)} ${text.slice(end)}`;
  }
  return text.replace(/\s+/g, ' ').trim();
}

function positions(query: string, wanted: string): [number, number][] {
  const negated = wanted.startsWith('-');
  const plain = negated ? wanted.slice(1) : wanted;
  const tokens = tokenize(query);
  const found: [number, number][] = [];
  tokens.forEach((token, index) => {
    const value = tokens[index + 1];
    if (token.kind !== 'field' || !value || query.slice(token.start, value.end) !== plain) return;
    const before = tokens[index - 1];
    const isNegated = before?.kind === 'operator' && /^(-|!|NOT)$/.test(before.text);
    if (isNegated !== negated || tokens[index - 1]?.text === 'OR' || tokens[index + 2]?.text === 'OR') return;
    found.push([negated && before ? before.start : token.start, value.end]);
  });
  return found;
}

function join(query: string, addition: string): string {
  const text = query.trim();
  if (!text || text === '*') return addition;
  return `${hasTopLevelOr(text) ? `(${text})` : text} ${addition}`;
}

function hasTopLevelOr(query: string): boolean {
  let depth = 0;
  for (const token of tokenize(query)) {
    if (token.text === '(') depth += 1;
    else if (token.text === ')') depth -= 1;
    else if (token.kind === 'operator' && token.text === 'OR' && depth === 0) return true;
  }
  return false;
}
