import { exact, instant } from '$lib/format/time';
import { bytes, count, milliseconds, percent } from '$lib/format/units';

const amounts: Readonly<Record<string, (value: number) => string>> = {
  bytes,
  flows: count,
  hosts: count,
  servers: count,
  answers: count,
  questions: count,
  missing: count,
  names: count,
  share: percent,
  // The engine has durations in nanoseconds.
  median: (value) => milliseconds(value / 1e6),
  slowest: (value) => milliseconds(value / 1e6),
};

/** Whether a column of a breakdown holds amounts. */
export const isAmount = (name: string): boolean => name in amounts;

/** A value of a breakdown as people read it. */
export function cellText(name: string, text: string, utc: boolean): string {
  const amount = amounts[name];
  if (amount) return text === '' ? '–' : amount(Number(text));
  // Versions of TLS have a dot, those of SSL before it had none.
  if (name === 'tls.version' && /^[23]$/.test(text)) return `SSL ${text}`;
  if (name === 'tls.server.not_after') {
    const time = instant(text);
    return time === null ? text : exact(time, utc, false);
  }
  return text;
}
