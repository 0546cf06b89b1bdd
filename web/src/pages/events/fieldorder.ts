/** What a person looks at first, by the beginning of a field's name; the rest follow by the alphabet. */
const first = [
  'type',
  'severity',
  'host',
  'agent',
  'finding.title',
  'finding.description',
  'finding.',
  'rule.',
  'process.name',
  'process.command_line',
  'process.executable',
  'process.pid',
  'pid',
  'process.user.',
  'user.',
  'process.exit_code',
  'cpu',
  'rss',
  'process.parent.',
  'source.',
  'destination.',
  'network.',
  'dns.',
  'tls.',
  'http.',
  'file.',
  'device.',
  'process.',
] as const;

/** What hardly anybody looks for. */
const last =
  /^(agent\.(?!id$)|host\.(?!name$|ip$)|observer|publisher|event\.|labels\.|.*entity_id$|offset|logged)/;

function rank(name: string): number {
  if (last.test(name)) return first.length + 1;
  const at = first.findIndex((each) => name === each || (each.endsWith('.') && name.startsWith(each)));
  return at < 0 ? first.length : at;
}

export function byImportance(a: string, b: string): number {
  return rank(a) - rank(b) || (a < b ? -1 : a > b ? 1 : 0);
}
