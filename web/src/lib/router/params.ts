/** How one value of a page's state is written into its address. */
export interface Codec<T> {
  parse(text: string | null): T;
  /** null leaves the parameter out, as it is for the default. */
  format(value: T): string | null;
}

export type Schema = Record<string, Codec<unknown>>;
export type Values<S extends Schema> = { [K in keyof S]: S[K] extends Codec<infer T> ? T : never };

export function text(fallback = ''): Codec<string> {
  return {
    parse: (value) => value ?? fallback,
    format: (value) => (value === fallback ? null : value),
  };
}

export function whole(): Codec<number | null> {
  return {
    parse: (value) => (value && /^\d+$/.test(value) ? Number(value) : null),
    format: (value) => (value === null ? null : String(value)),
  };
}

export function flag(fallback: boolean): Codec<boolean> {
  return {
    parse: (value) => (value === null ? fallback : value === '1'),
    format: (value) => (value === fallback ? null : value ? '1' : '0'),
  };
}

export function oneOf<const T extends string>(choices: readonly T[], fallback: T): Codec<T> {
  return {
    parse: (value) => choices.find((choice) => choice === value) ?? fallback,
    format: (value) => (value === fallback ? null : value),
  };
}

export function list(fallback: readonly string[]): Codec<readonly string[]> {
  const usual = fallback.join(',');
  return {
    parse: (value) => (value === null ? fallback : value.split(',').filter(Boolean)),
    format: (value) => (value.join(',') === usual ? null : value.join(',')),
  };
}

export function parseAll<S extends Schema>(schema: S, params: URLSearchParams): Values<S> {
  const values: Record<string, unknown> = {};
  for (const [key, codec] of Object.entries(schema)) values[key] = codec.parse(params.get(key));
  return values as Values<S>;
}

/** The query string after some values of a page's state have changed. */
export function apply<S extends Schema>(
  schema: S,
  params: URLSearchParams,
  changes: Partial<Values<S>>,
): URLSearchParams {
  const next = new URLSearchParams(params);
  for (const [key, value] of Object.entries(changes)) {
    const text = schema[key]?.format(value) ?? null;
    if (text === null) next.delete(key);
    else next.set(key, text);
  }
  return next;
}
