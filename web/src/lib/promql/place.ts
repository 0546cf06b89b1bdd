import { labelWords, words } from './functions';
import { isClosed, type Token, tokenize } from './tokens';

/** What can stand at the caret of a query, and which part of it that would replace. */
export interface Place {
  kind: 'name' | 'label' | 'value' | 'duration';
  from: number;
  to: number;
  /** What is written of it already. */
  typed: string;
  /** The series that labels and values are asked of; empty for all. */
  selector: string;
  /** The label whose values are meant. */
  label: string;
  /** Whether a label is matched there, and not grouped by. */
  matched: boolean;
}

type Inside = { kind: 'call' } | { kind: 'labels' } | { kind: 'range' } | { kind: 'braces'; at: number };

const isLabelWord = (text: string | undefined) => labelWords.some((word) => word === text);
const isWord = (text: string) => words.some((word) => word === text);

/** What the caret is in; null where there is nothing to complete, as in a comment. */
export function placeAt(query: string, caret: number): Place | null {
  const tokens = tokenize(query);
  const touched = tokens.findIndex((token) => token.start < caret && caret <= token.end);
  const at = touched < 0 ? tokens.findIndex((token) => token.start >= caret) : touched;
  const index = at < 0 ? tokens.length : at;
  const current = touched < 0 ? undefined : tokens[touched];
  if (current?.kind === 'comment') return null;
  const partial = current && current.kind !== 'mark' && current.kind !== 'other' ? current : undefined;
  // A mark under the caret is before it: what is typed stands behind.
  const before = tokens.slice(0, partial ? index : index + (current ? 1 : 0));
  const inside = insideOf(before);
  const place = (kind: Place['kind'], selector = '', label = ''): Place => ({
    kind,
    from: partial ? partial.start : caret,
    to: partial ? partial.end : caret,
    typed: partial ? query.slice(partial.start, caret) : '',
    selector,
    label,
    matched: inside?.kind === 'braces',
  });
  if (partial?.kind === 'string') return valuePlace(query, caret, tokens, before, inside, partial);
  if (inside?.kind === 'range') return place('duration');
  if (partial?.kind === 'number') return null;
  if (inside?.kind === 'labels') return place('label', metricOf(tokens));
  if (inside?.kind === 'braces') {
    const last = before.at(-1)?.text;
    return last === '{' || last === ',' ? place('label', selectorOf(tokens, inside.at, partial)) : null;
  }
  return place('name');
}

/** In a string: the value of a label, where one stands before it. */
function valuePlace(
  query: string,
  caret: number,
  tokens: readonly Token[],
  before: readonly Token[],
  inside: Inside | undefined,
  string: Token,
): Place | null {
  const label = before.at(-2);
  const closed = isClosed(string);
  if (inside?.kind !== 'braces' || label?.kind !== 'name' || (closed && caret === string.end)) return null;
  return {
    kind: 'value',
    from: string.start + 1,
    to: closed ? string.end - 1 : string.end,
    typed: query.slice(string.start + 1, caret),
    selector: selectorOf(tokens, inside.at, label),
    label: label.text,
    matched: true,
  };
}

/** The innermost bracket that is open behind these parts. */
function insideOf(tokens: readonly Token[]): Inside | undefined {
  const open: Inside[] = [];
  tokens.forEach((token, index) => {
    if (token.kind !== 'mark') return;
    if (token.text === '(') open.push({ kind: isLabelWord(tokens[index - 1]?.text) ? 'labels' : 'call' });
    else if (token.text === '{') open.push({ kind: 'braces', at: index });
    else if (token.text === '[') open.push({ kind: 'range' });
    else if (/^[)}\]]$/.test(token.text)) open.pop();
  });
  return open.at(-1);
}

/** The selector at a brace, without the matcher that is being written. */
function selectorOf(tokens: readonly Token[], brace: number, without?: Token): string {
  const matchers: string[] = [];
  for (let at = brace + 1; at < tokens.length && tokens[at]?.text !== '}'; at += 1) {
    const [label, operator, value] = [tokens[at], tokens[at + 1], tokens[at + 2]];
    const whole = label?.kind === 'name' && /^[=!]/.test(operator?.text ?? '') && value?.kind === 'string';
    if (whole && isClosed(value) && label !== without)
      matchers.push(`${label.text}${operator?.text}${value.text}`);
  }
  const metric = tokens[brace - 1];
  const name = metric?.kind === 'name' && !isWord(metric.text) ? metric.text : '';
  return matchers.length > 0 ? `${name}{${matchers.join(',')}}` : name;
}

/** The first metric that a query names; empty where it names none. */
export function metricOf(tokens: readonly Token[]): string {
  let depth = 0;
  for (const [index, token] of tokens.entries()) {
    if (token.text === '{') depth += 1;
    if (token.text === '}') depth -= 1;
    if (token.text === '(' && isLabelWord(tokens[index - 1]?.text)) depth += 1;
    if (token.text === ')' && depth > 0) depth -= 1;
    const next = tokens[index + 1]?.text;
    const called = next === '(' || isLabelWord(next);
    if (token.kind === 'name' && depth === 0 && !called && !isWord(token.text)) return token.text;
  }
  return '';
}
