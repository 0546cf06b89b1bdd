import type { Device, DeviceCount, DevicesAnswer } from '$lib/api/devices';
import { classWord } from './classes';
import { compareText, isKnown, isNew } from './device';
import { asksMarks, type FilterKey, wantedOf, withValue } from './filter';

/** One value of a facet. */
export interface FacetValue {
  value: string;
  label: string;
  devices: number;
  on: boolean;
}

export interface DeviceFacet {
  title: string;
  /** Of the class, for pictures. */
  pictured?: boolean;
  values: FacetValue[];
  /** What a value changes in the address; the empty one asks for none. */
  choose: (value: string) => { q?: string; tag?: string; mark?: 'all' | 'new' | 'unknown' | 'known' };
}

type Chosen = { q: string; tag: string; mark: string };

/** Counts of what is loaded, the most frequent first. */
function counted(devices: readonly Device[], of: (device: Device) => readonly string[]): DeviceCount[] {
  const counts = new Map<string, number>();
  for (const device of devices)
    for (const value of of(device)) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts]
    .map(([name, found]) => ({ name, devices: found }))
    .sort((a, b) => b.devices - a.devices || compareText(a.name, b.name));
}

/** A facet that the server's filter speaks of. */
function asked(title: string, key: FilterKey, counts: readonly DeviceCount[], q: string): DeviceFacet {
  const chosen = wantedOf(q, key).toLowerCase();
  const word = key === 'class' ? classWord : (name: string) => name;
  const values = counts
    .filter(({ name }) => name !== '')
    .map(({ name, devices }) => ({
      value: name,
      label: word(name),
      devices,
      on: name.toLowerCase() === chosen,
    }));
  // One that was chosen can be dropped also where nothing has it.
  if (chosen && !values.some((value) => value.on))
    values.unshift({ value: chosen, label: word(chosen), devices: 0, on: true });
  return { title, values, choose: (value) => ({ q: withValue(q, key, value) }) };
}

/**
 * What devices can be narrowed to. The server counts classes, vendors and services of
 * all that match, whatever people say of them; the others, and those where a filter asks
 * for that, are counted among those that are loaded.
 */
export function facetsOf(
  answer: Pick<DevicesAnswer, 'classes' | 'vendors' | 'services'> | null,
  devices: readonly Device[],
  chosen: Chosen,
  now: number,
): DeviceFacet[] {
  const { q } = chosen;
  const told = (key: 'classes' | 'vendors' | 'services', of: (device: Device) => readonly string[]) =>
    asksMarks(q) ? counted(devices, of) : (answer?.[key] ?? []);
  const state = asked(
    'State',
    'up',
    counted(devices, (device) => [String(device.up)]),
    q,
  );
  for (const value of state.values) value.label = value.value === 'true' ? 'up' : 'down';
  const marks = ['new', 'unknown', 'known'] as const;
  const says = { new: 'new since a day', unknown: 'not known', known: 'known' };
  const meets = {
    new: (device: Device) => isNew(device, now),
    unknown: (device: Device) => !isKnown(device),
    known: isKnown,
  };
  return [
    {
      ...asked(
        'Class',
        'class',
        told('classes', (device) => [device.device_class]),
        q,
      ),
      pictured: true,
    },
    state,
    {
      title: 'Marks',
      values: marks.map((value) => ({
        value,
        label: says[value],
        devices: devices.filter(meets[value]).length,
        on: chosen.mark === value,
      })),
      choose: (value) => ({ mark: marks.find((each) => each === value) ?? 'all' }),
    },
    asked(
      'Service',
      'service',
      told('services', (device) => [...new Set(device.open_ports.map((port) => port.service))]),
      q,
    ),
    asked(
      'Vendor',
      'vendor',
      told('vendors', (device) => [device.vendor]),
      q,
    ),
    asked(
      'Subnet',
      'subnet',
      counted(devices, (device) => (device.subnet ? [device.subnet] : [])),
      q,
    ),
    asked(
      'Owner',
      'owner',
      counted(devices, (device) => [device.mark.owner]),
      q,
    ),
    {
      title: 'Tag',
      values: counted(devices, (device) => device.mark.tags).map(({ name, devices: found }) => ({
        value: name,
        label: name,
        devices: found,
        on: name === chosen.tag,
      })),
      choose: (value) => ({ tag: value }),
    },
  ];
}

/** Those of the loaded devices that have the chosen tag and mark. */
export function narrowed(devices: readonly Device[], chosen: Chosen, now: number): readonly Device[] {
  if (chosen.mark === 'all' && chosen.tag === '') return devices;
  return devices.filter((device) => {
    if (chosen.tag && !device.mark.tags.includes(chosen.tag)) return false;
    if (chosen.mark === 'new') return isNew(device, now);
    return chosen.mark === 'all' || isKnown(device) === (chosen.mark === 'known');
  });
}
