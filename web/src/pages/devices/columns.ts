import type { Device } from '$lib/api/devices';
import { instant } from '$lib/format/time';
import type { GridColumn } from '$lib/table/columns';
import { classWord } from './classes';
import { compareText, isKnown, osOf, placeOf, placeText, portKey, servicesText } from './device';

export interface DeviceColumn extends GridColumn {
  /** What it sorts by and an export writes. */
  value: (device: Device) => string | number | boolean;
}

const sortable = true;
const place = (device: Device) => {
  const now = placeOf(device);
  return now ? placeText(now) : '';
};

/** The columns that can be left out; on a screen of 1,440 pixels those up to the marks are seen whole. */
export const columns: readonly DeviceColumn[] = [
  { key: 'name', label: 'Name', width: 136, grow: true, sortable, value: (device) => device.name },
  { key: 'state', label: 'State', width: 68, sortable, value: (device) => (device.up ? 'up' : 'down') },
  { key: 'last', label: 'Last seen', width: 92, sortable, value: (device) => device.last_seen ?? '' },
  { key: 'ip', label: 'Addresses', width: 116, sortable, value: (device) => device.ip.join(' ') },
  { key: 'class', label: 'Class', width: 118, sortable, value: (device) => classWord(device.device_class) },
  { key: 'vendor', label: 'Vendor', width: 96, sortable, value: (device) => device.vendor },
  { key: 'os', label: 'System', width: 108, sortable, value: osOf },
  {
    key: 'services',
    label: 'Services',
    width: 104,
    grow: true,
    sortable,
    value: (device) => servicesText(device.open_ports),
  },
  {
    key: 'findings',
    label: 'Findings',
    width: 74,
    sortable,
    number: true,
    value: (device) => device.findings,
  },
  {
    key: 'marks',
    label: 'Marks',
    width: 92,
    grow: true,
    sortable,
    value: (device) => (isKnown(device) ? 'known' : 'not known'),
  },
  { key: 'place', label: 'Plugged in', width: 130, grow: true, sortable, value: place },
  { key: 'first', label: 'First seen', width: 90, sortable, value: (device) => device.first_seen ?? '' },
  { key: 'mac', label: 'MAC', width: 142, sortable, value: (device) => device.mac.join(' ') },
  { key: 'model', label: 'Model', width: 130, sortable, value: (device) => device.model },
  { key: 'serial', label: 'Serial number', width: 120, sortable, value: (device) => device.serial_number },
  { key: 'subnet', label: 'Subnet', width: 120, sortable, value: (device) => device.subnet },
  {
    key: 'ports',
    label: 'Ports',
    width: 120,
    sortable,
    value: (device) => device.open_ports.map(portKey).join(' '),
  },
  { key: 'owner', label: 'Owner', width: 100, sortable, value: (device) => device.mark.owner },
  { key: 'tags', label: 'Tags', width: 110, sortable, value: (device) => device.mark.tags.join(' ') },
  { key: 'observers', label: 'Seen by', width: 110, sortable, value: (device) => device.observers.join(' ') },
];

const seldom = ['mac', 'model', 'serial', 'subnet', 'ports', 'owner', 'tags', 'observers'];

/** Those that are shown until somebody chooses. */
export const usualColumns = columns.map((column) => column.key).filter((key) => !seldom.includes(key));

/** Whether a device is selected stands first, always. */
export const selecting: GridColumn = { key: 'select', label: 'Selected', width: 36, labelUnseen: true };

/** On a narrow screen the first columns say most. */
export function columnsFor(chosen: readonly string[], narrow: boolean): DeviceColumn[] {
  const list = columns.filter((column) => chosen.includes(column.key));
  if (!narrow) return list;
  const widths: Record<string, number> = { name: 128, state: 76, ip: 112, class: 108 };
  const first = ['name', 'state', 'ip', 'class', 'last'];
  const place = ({ key }: DeviceColumn) => (first.indexOf(key) + first.length + 1) % (first.length + 1);
  list.sort((a, b) => place(a) - place(b));
  return list.map((column) => ({ ...column, grow: false, width: widths[column.key] ?? column.width }));
}

/** Times sort as times, and what is empty comes last either way. */
export function sorted(devices: readonly Device[], sort: string): Device[] {
  const key = sort.replace(/^-/, '');
  const column = columns.find((each) => each.key === key);
  if (!column) return [...devices];
  const sign = sort.startsWith('-') ? -1 : 1;
  const keyed = devices.map((device) => ({ device, value: sortValue(column, device) }));
  keyed.sort((a, b) => {
    if (a.value === '' || b.value === '') return a.value === b.value ? 0 : a.value === '' ? 1 : -1;
    if (typeof a.value === 'number' && typeof b.value === 'number') return sign * (a.value - b.value);
    return sign * compareText(String(a.value), String(b.value));
  });
  return keyed.map(({ device }) => device);
}

function sortValue(column: DeviceColumn, device: Device): string | number {
  const value = column.value(device);
  if (column.key === 'last' || column.key === 'first') return instant(String(value)) ?? '';
  if (column.key === 'services') return device.open_ports.length;
  return typeof value === 'boolean' ? String(value) : value;
}
