import { expect, it } from 'vitest';
import type { Event } from '$lib/api/types';
import { newestDevices } from './newest';

const event = (fields: Event['fields'], about = ''): Event =>
  ({ fields, about, time: '2026-03-01T12:00:00Z' }) as Event;

it('tells of each new device once, by its best name', () => {
  const list = newestDevices([
    event({
      'device.id': 'mac-1',
      'device.ip': ['192.0.2.7', '2001:db8::7'],
      vendor: 'Brother',
      'device.class': 'printer',
    }),
    event({ 'device.id': 'mac-1', 'device.hostname': 'again' }),
    event({ 'about.uid': 'mac-2' }, 'sw-1'),
  ]);
  expect(list.map(({ uid, name, says }) => [uid, name, says])).toEqual([
    ['mac-1', '192.0.2.7', 'Brother · printer'],
    ['mac-2', 'sw-1', ''],
  ]);
});
