import { describe, expect, it } from 'vitest';
import type { BackupAnswer } from '$lib/api/types';
import { backupText } from './backup';

const now = Date.parse('2026-11-28T08:00:00Z');
const answer = (time: string, with_keys: boolean): BackupAnswer => ({
  time: '2026-11-28T08:00:00Z',
  backups: [{ id: 'x', place: '/mnt/b', time, bytes: 2048, sent_bytes: 1, seconds: 1, offset: 9, with_keys }],
});

describe('the last backup', () => {
  it('is told with its age', () => {
    expect(backupText(answer('2026-11-28T05:00:00Z', true), now)).toEqual({
      tone: 'ok',
      text: 'Last backup 3 h ago: 2.0 kB in /mnt/b, with keys',
    });
  });

  it('is minded when it is old, or was never made', () => {
    expect(backupText(answer('2026-11-01T00:00:00Z', false), now).tone).toBe('warning');
    expect(backupText({ backups: [], time: '' }, now).text).toContain('No backup was ever made');
  });
});
