/** "12 s ago", "3 m ago", "2 h ago", "5 d ago"; "now" within a second. */
export function ago(time: number, now: number): string {
  const seconds = Math.round((now - time) / 1000);
  if (seconds < -1) return `in ${span(-seconds)}`;
  return seconds < 1 ? 'now' : `${span(seconds)} ago`;
}

/** "45 s", "12 m", "3 h 20 m", "5 d 2 h". */
export function span(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 90) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 90) return `${minutes} m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 && hours < 10 ? `${hours} h ${minutes % 60} m` : `${hours} h`;
  const days = Math.floor(hours / 24);
  return hours % 24 && days < 10 ? `${days} d ${hours % 24} h` : `${days} d`;
}

const two = (value: number) => String(value).padStart(2, '0');

/** "2026-03-01 12:30:45.123" in UTC or local time. */
export function exact(time: number, utc: boolean, millis = true): string {
  return `${day(time, utc)} ${clockTime(time, utc, millis)}`;
}

/** "12:30:45.123". */
export function clockTime(time: number, utc: boolean, millis = false): string {
  const date = new Date(time);
  const [h, m, s] = utc
    ? [date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()]
    : [date.getHours(), date.getMinutes(), date.getSeconds()];
  const text = `${two(h)}:${two(m)}:${two(s)}`;
  return millis ? `${text}.${String(date.getUTCMilliseconds()).padStart(3, '0')}` : text;
}

export function day(time: number, utc: boolean): string {
  const date = new Date(time);
  return utc
    ? `${date.getUTCFullYear()}-${two(date.getUTCMonth() + 1)}-${two(date.getUTCDate())}`
    : `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

/** Milliseconds of an RFC 3339 time; null for none, and for Go's year 1. */
export function instant(text: string | null | undefined): number | null {
  if (!text || text.startsWith('0001-')) return null;
  const time = Date.parse(text);
  return Number.isNaN(time) ? null : time;
}
