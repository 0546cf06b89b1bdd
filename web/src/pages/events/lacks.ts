import type { Lack } from '$lib/api/types';
import { clockTime, day, instant } from '$lib/format/time';
import { count } from '$lib/format/units';

/** What an answer lacks, in words. */
export interface Lacking {
  /** Nothing is missing, or only what the answer's own limit left out. */
  complete: boolean;
  /** One line. */
  text: string;
  /** One line for each lack. */
  lines: string[];
}

const places: Readonly<Record<string, string>> = {
  kernel: 'the kernel',
  agent: 'an agent',
  hub: 'the hub',
  log: 'the log',
  store: 'the store',
  limit: 'a limit of this answer',
};

/** Whose events are missing. */
function whose({ host, agent, place }: Lack): string {
  if (agent && host) return `${agent} on ${host}`;
  return agent || host || places[place] || place;
}

/** "12:01:00–12:09:30", with days where that is not of one. */
function when(lack: Lack, utc: boolean): string {
  const since = instant(lack.since);
  const until = instant(lack.until);
  const at = (time: number, withDay: boolean) =>
    withDay ? `${day(time, utc)} ${clockTime(time, utc)}` : clockTime(time, utc);
  if (since === null) return until === null ? '' : ` before ${at(until, true)}`;
  if (until === null) return ` since ${at(since, true)}`;
  const sameDay = day(since, utc) === day(until, utc);
  return ` ${at(since, true)}–${at(until, !sameDay)}`;
}

function lineOf(lack: Lack, utc: boolean): string {
  const many =
    lack.count > 0 ? `${count(lack.count)} ${lack.count === 1 ? 'event' : 'events'}` : 'unknown how many';
  return `${many}, ${whose(lack)}: ${lack.reason}${when(lack, utc)}`;
}

/** What an answer lacks; the worst first, as the server says it. */
export function lacking(lacks: readonly Lack[], utc: boolean): Lacking {
  const lost = lacks.filter((lack) => lack.place !== 'limit');
  const lines = lacks.map((lack) => lineOf(lack, utc));
  if (lost.length === 0) return { complete: true, text: 'complete', lines };
  const sum = lost.reduce((total, lack) => total + lack.count, 0);
  const known = lost.every((lack) => lack.count > 0);
  const many =
    sum === 0
      ? 'events, unknown how many'
      : `${known ? '' : 'at least '}${count(sum)} ${sum === 1 ? 'event' : 'events'}`;
  const first = lost[0];
  const why = first ? `${whose(first)}: ${first.reason}${when(first, utc)}` : '';
  const more = lost.length > 1 ? `; and ${lost.length - 1} more` : '';
  return { complete: false, text: `lacks ${many}: ${why}${more}`, lines };
}
