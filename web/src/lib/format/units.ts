import { span } from './time';

const byteUnits = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

/** "12.3 MB": powers of 1000, as the rest of AMOSKYS counts. */
export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return '–';
  let scaled = value;
  let unit = 0;
  while (Math.abs(scaled) >= 999.5 && unit < byteUnits.length - 1) {
    scaled /= 1000;
    unit += 1;
  }
  return `${scaled.toFixed(unit === 0 || scaled >= 99.95 ? 0 : 1)} ${byteUnits[unit]}`;
}

/** "12 345 678", with every digit. */
export function count(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return '–';
  // By hand: Intl costs a slow machine its first 60 ms.
  return value.toFixed(0).replace(/\B(?=(\d{3})+$)/g, ' ');
}

/** "12.3M", for places with no room. */
export function short(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return '–';
  const size = Math.abs(value);
  if (size >= 999_500_000) return `${trim(value / 1e9)}G`;
  if (size >= 999_500) return `${trim(value / 1e6)}M`;
  if (size >= 9_995) return `${trim(value / 1e3)}k`;
  return decimal(value);
}

/** Three figures, no more. */
export function decimal(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return '–';
  const size = Math.abs(value);
  if (Number.isInteger(value)) return count(value);
  if (size >= 99.95) return count(value);
  if (size >= 9.995) return value.toFixed(1).replace(/\.0$/, '');
  return size >= 0.01 ? value.toFixed(2).replace(/\.?0+$/, '') : value.toPrecision(1);
}

function trim(value: number): string {
  return value.toFixed(Math.abs(value) >= 99.95 ? 0 : 1).replace(/\.0$/, '');
}

export function percent(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return '–';
  return `${value.toFixed(1)}%`;
}

/** Milliseconds as people say them: "0.3 ms", "1.2 s". */
export function milliseconds(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return '–';
  return value >= 1000 ? `${decimal(value / 1000)} s` : `${decimal(value)} ms`;
}

/** Seconds as people say them: "3 ms", "1.5 s", "2 h 5 m". */
function seconds(value: number): string {
  if (Math.abs(value) >= 90) return value < 0 ? `-${span(-value)}` : span(value);
  return value !== 0 && Math.abs(value) < 1 ? `${decimal(value * 1000)} ms` : `${decimal(value)} s`;
}

/** A value of a series in its unit. */
export function inUnit(value: number | null | undefined, unit: string): string {
  if (value === null || value === undefined) return '–';
  switch (unit) {
    case 'bytes':
    case 'By':
      return bytes(value);
    case 'By/s':
      return `${bytes(value)}/s`;
    case 's':
      return seconds(value);
    case 'ms':
      return milliseconds(value);
    case 'percent':
    case '%':
      return percent(value);
    case '1/s':
      return `${short(value)}/s`;
    case '':
    case '1':
      return short(value);
    default:
      // UCUM writes what is counted in braces: "{event}".
      return unit.startsWith('{') ? short(value) : `${short(value)} ${unit}`;
  }
}

/** Labels of an axis whose values are a step apart: of bytes all in one unit, with as many digits as the step has. */
export function axisLabels(splits: readonly number[], step: number, unit: string): string[] {
  if (!['bytes', 'By', 'By/s'].includes(unit)) return splits.map((each) => inUnit(each, unit));
  const highest = Math.max(...splits.map((each) => Math.abs(each)), 0);
  let power = 0;
  while (highest / 1000 ** power >= 999.5 && power < byteUnits.length - 1) power += 1;
  const scale = 1000 ** power;
  let digits = 0;
  const uneven = (by: number) => Math.abs((step / scale) * by - Math.round((step / scale) * by)) > 1e-6;
  while (digits < 3 && uneven(10 ** digits)) digits += 1;
  const after = `${byteUnits[power]}${unit === 'By/s' ? '/s' : ''}`;
  return splits.map((each) => (each === 0 ? '0' : `${(each / scale).toFixed(digits)} ${after}`));
}
