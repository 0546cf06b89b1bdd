import type { Event } from '$lib/api/types';

/** A device that came, as its event tells of it. */
export interface NewDevice {
  uid: string;
  name: string;
  /** Its address and what it is, in a few words. */
  says: string;
  time: string;
}

/** Devices of events that tell of new ones, the newest first, each once. */
export function newestDevices(events: readonly Event[]): NewDevice[] {
  const seen = new Set<string>();
  const list: NewDevice[] = [];
  for (const event of events) {
    const of = (...names: string[]) => {
      for (const name of names) {
        const value = event.fields[name];
        const first = Array.isArray(value) ? value[0] : value;
        if (first !== undefined && first !== null && first !== '') return String(first);
      }
      return '';
    };
    const uid = of('device.id', 'device.uid', 'about.uid');
    const ip = of('device.ip', 'about.ip');
    const name = of('device.hostname', 'about.name') || event.about || ip || uid;
    const key = uid || ip || name;
    if (seen.has(key)) continue;
    seen.add(key);
    const what = [
      ip === name ? '' : ip,
      of('vendor', 'device.vendor'),
      of('device.class', 'device.device_class'),
    ];
    list.push({ uid, name, says: what.filter(Boolean).join(' · '), time: event.time });
  }
  return list;
}
