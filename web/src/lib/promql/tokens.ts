/** A part of a PromQL query. A string that is not closed goes to the end. */
export interface Token {
  kind: 'name' | 'number' | 'string' | 'mark' | 'comment' | 'other';
  text: string;
  start: number;
  end: number;
}

const parts: readonly [Token['kind'], RegExp][] = [
  ['comment', /#[^\n]*/y],
  ['string', /"(?:\\[\s\S]|[^"\\\n])*"?|'(?:\\[\s\S]|[^'\\\n])*'?|`[^`]*`?/y],
  ['number', /(?:0x[\da-f]+|\d+(?:\.\d*)?(?:e[+-]?\d+)?|\.\d+)(?:ms|[smhdwy])?(?:\d+(?:ms|[smhdwy]))*/iy],
  ['name', /[a-z_][\w:.]*/iy],
  ['mark', /=~|!~|!=|==|<=|>=|[(){}[\],=<>+\-*/%^@:]/y],
];

/** The parts of a query, without the spaces between. */
export function tokenize(query: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (at < query.length) {
    if (/\s/.test(query.charAt(at))) {
      at += 1;
      continue;
    }
    const token = tokenAt(query, at);
    tokens.push(token);
    at = token.end;
  }
  return tokens;
}

function tokenAt(query: string, start: number): Token {
  for (const [kind, pattern] of parts) {
    pattern.lastIndex = start;
    const text = pattern.exec(query)?.[0];
    if (text) return { kind, text, start, end: start + text.length };
  }
  return { kind: 'other', text: query.charAt(start), start, end: start + 1 };
}

/** Whether a string has its closing quote. */
export function isClosed(token: Token): boolean {
  const quote = token.text.charAt(0);
  return token.text.length > 1 && token.text.endsWith(quote) && !/(^|[^\\])(\\\\)*\\.$/.test(token.text);
}

/** The query in one line: breaks become spaces, comments go. */
export function oneLine(query: string): string {
  let text = '';
  let end = 0;
  for (const token of tokenize(query)) {
    if (token.start > end && text && !text.endsWith(' ')) text += ' ';
    end = token.end;
    if (token.kind !== 'comment') text += token.text.replaceAll(/\s*\n\s*/g, ' ');
  }
  return text.trim();
}
