/** A selector of series whose labels have these values: `name{agent="a", host="b"}`. */
export function selector(name: string, labels: Readonly<Record<string, string>>): string {
  const matchers = Object.entries(labels).map(([label, value]) => `${label}=${JSON.stringify(value)}`);
  return `${name}{${matchers.join(', ')}}`;
}
