import type { Metadata } from '../api/prometheus';
import { durations, known, words } from './functions';
import type { Place } from './place';

/** What could stand at the caret. */
export interface Option {
  label: string;
  note: string;
  /** What is written, and how much of it stands behind the caret. */
  text: string;
  behind: number;
}

/** What is known of the store's metrics. */
export interface Catalog {
  names: readonly string[];
  metadata: Readonly<Record<string, readonly Metadata[]>>;
}

const most = 100;

/** Names, functions and words that hold what is typed, those that begin with it first. */
export function nameOptions(place: Place, query: string, catalog: Catalog): Option[] {
  const bracket = query.slice(place.to).startsWith('(') ? '' : '()';
  const metrics = catalog.names.map((name): Option => {
    const of = catalog.metadata[name]?.[0];
    const kind = of && of.type !== 'unknown' ? `${of.type}: ` : '';
    return { label: name, note: of ? kind + of.help : '', text: name, behind: 0 };
  });
  const functions = known.map(
    ({ name, takes, about }): Option => ({
      label: `${name}(${takes})`,
      note: about,
      text: name + bracket,
      behind: bracket ? 1 : 0,
    }),
  );
  const plain = words.map((word): Option => ({ label: word, note: '', text: word, behind: 0 }));
  const all = place.typed ? [...metrics, ...functions, ...plain] : [...metrics, ...functions];
  return ranked(all, place.typed);
}

/** Label names; with its operator and quotes where it will be matched. */
export function labelOptions(place: Place, query: string, labels: readonly string[]): Option[] {
  const more = place.matched && !/^\s*[=!]/.test(query.slice(place.to)) ? '=""' : '';
  const options = labels
    .filter((label) => label !== '__name__')
    .map((label): Option => ({ label, note: '', text: label + more, behind: more ? 1 : 0 }));
  return ranked(options, place.typed);
}

export function valueOptions(place: Place, query: string, values: readonly string[]): Option[] {
  const open = place.to >= query.length || !/["'`]/.test(query.charAt(place.to));
  const options = values.map((value): Option => {
    const text = value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
    return { label: value, note: '', text: open ? `${text}"` : text, behind: 0 };
  });
  return ranked(options, place.typed);
}

export function durationOptions(place: Place, query: string): Option[] {
  const end = query.slice(place.to).startsWith(']') ? '' : ']';
  return durations
    .filter((each) => each.startsWith(place.typed))
    .map((each) => ({ label: each, note: '', text: each + end, behind: 0 }));
}

/** Those that hold what is typed: first those that begin with it, then in their order. What stands there already is none. */
function ranked(options: readonly Option[], typed: string): Option[] {
  const wanted = typed.toLowerCase();
  const found = options.filter((each) => each.label.toLowerCase().includes(wanted));
  if (found.length === 1 && found[0]?.text === typed) return [];
  const begins = (each: Option) => each.label.toLowerCase().startsWith(wanted);
  return [...found.filter(begins), ...found.filter((each) => !begins(each))].slice(0, most);
}

/** The query once an option is taken, and where the caret is then. */
export function taken(query: string, place: Place, option: Option): { query: string; caret: number } {
  const before = query.slice(0, place.from) + option.text;
  return { query: before + query.slice(place.to), caret: before.length - option.behind };
}
