import type { BackupAnswer } from '$lib/api/types';
import { span } from '$lib/format/time';
import { bytes } from '$lib/format/units';

/** From when on a backup is too old for comfort, in seconds. */
const old = 8 * 86_400;

/** How old the last good backup is, and whether that is to be minded. */
export function backupText({ backups }: BackupAnswer, now: number): { tone: 'ok' | 'warning'; text: string } {
  const last = backups[0];
  if (!last)
    return { tone: 'warning', text: 'No backup was ever made: amoskys backup DIR makes one while all runs.' };
  const age = (now - Date.parse(last.time)) / 1000;
  const keys = last.with_keys ? 'with keys' : 'without keys';
  return {
    tone: age > old ? 'warning' : 'ok',
    text: `Last backup ${span(age)} ago: ${bytes(last.bytes)} in ${last.place}, ${keys}`,
  };
}
