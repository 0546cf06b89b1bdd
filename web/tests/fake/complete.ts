import type { Completion, CompletionOption } from '../../src/lib/api/types';
import { quote } from '../../src/lib/query/edit';
import { tokenize } from '../../src/lib/query/tokens';
import { fieldList } from './data';
import { fieldValues } from './search';
import type { World } from './world';

const pipes = ['stats ', 'top ', 'sort ', 'limit '];

/** Enough of completion for the UI's tests: fields, values of one field, and pipes. */
export function completion(world: World, params: URLSearchParams, now: number): Completion {
  const query = params.get('query') ?? '';
  const caret = Number(params.get('cursor') ?? 0);
  const asked = params.get('stored') === 'true';
  const away = world.store.state === 'away';
  const tokens = tokenize(query.slice(0, caret));
  const last = tokens.at(-1);
  const touches = last?.end === caret ? last : undefined;
  const at = (from: number, options: CompletionOption[], field = ''): Completion => ({
    from,
    to: caret,
    field,
    options,
    stored: !asked ? 'unasked' : away ? 'away' : 'complete',
  });
  if (touches && (touches.kind === 'value' || touches.kind === 'field')) {
    const sign = touches.kind === 'value' && touches.text.startsWith('=') ? '=' : '';
    const from = touches.kind === 'value' ? touches.start + sign.length : touches.end;
    const field = touches.kind === 'value' ? (touches.field ?? '') : touches.text;
    const typed = query.slice(from, caret);
    const known = fieldList.find((each) => each.name === field)?.example_values ?? [];
    const search = new URLSearchParams({ prefix: typed, since: params.get('since') ?? '15m' });
    const stored = asked && !away ? fieldValues(world, field, search, now).values : [];
    const option = (value: string, events?: number): CompletionOption => ({
      text: `${sign ? '' : '='}${quote(value)} `,
      label: value,
      kind: 'value',
      about: '',
      ...(events === undefined ? {} : { events }),
    });
    const seen = new Set(stored.map((each) => each.value));
    return at(
      from,
      [
        ...stored.map((each) => option(each.value, each.count)),
        ...known.filter((each) => each.startsWith(typed) && !seen.has(each)).map((each) => option(each)),
      ],
      field,
    );
  }
  const typed = touches?.kind === 'word' ? touches.text : '';
  const from = caret - typed.length;
  const first = tokens[typed ? tokens.length - 2 : tokens.length - 1];
  if (first?.kind === 'pipe')
    return at(
      from,
      pipes
        .filter((each) => each.startsWith(typed))
        .map((text) => ({ text, label: text.trim(), kind: 'pipe', about: '' })),
    );
  const behind = tokens.some((each) => each.kind === 'pipe') ? '' : ':';
  const names = fieldList.filter((each) => each.name.startsWith(typed));
  return at(
    from,
    names.map((each) => ({
      text: each.name + behind,
      label: each.name + behind,
      kind: 'field',
      about: each.description,
    })),
  );
}
