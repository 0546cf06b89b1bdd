import type { ServerResponse } from 'node:http';
import type {
  Device,
  DeviceAnswer,
  DeviceChange,
  DeviceDetail,
  DevicesAnswer,
  MarksChange,
  TopologyAnswer,
} from '../../src/lib/api/devices';
import type { Agent } from '../../src/lib/api/types';
import { makeAgents } from './data';
import { day, leaf, makeDevices, noMark, portOf, reading, switchesOf, uidOf } from './makedevices';

/** The filter as the server reads it, as far as tests go. */
function matches(device: Device, filter: string): boolean {
  const all = [
    device.name,
    ...device.names,
    ...device.ip,
    ...device.mac,
    device.vendor,
    device.os_name,
    device.device_class,
    ...device.open_ports.map((port) => port.service),
  ]
    .join(' ')
    .toLowerCase();
  const facts: Record<string, string> = {
    class: device.device_class,
    vendor: device.vendor,
    os: device.os_name,
    subnet: device.subnet,
    up: String(device.up),
    port: device.open_ports.map((port) => ` ${port.port} `).join(''),
    service: device.open_ports.map((port) => port.service).join(' '),
    known: String(device.mark.known),
    owner: device.mark.owner,
    tag: device.mark.tags.join(' '),
    note: device.mark.note,
    plugged: device.plugged.map((place) => place.switch_name).join(' '),
  };
  return [...filter.matchAll(/(?:([a-z]+):)?("[^"]*"|\S+)/gi)].every(([, key, value = '']) => {
    const text = value.replaceAll('"', '').toLowerCase();
    return (key ? (facts[key] ?? '') : all).toLowerCase().includes(text);
  });
}

function counts(devices: readonly Device[], of: (device: Device) => string[]) {
  const found = new Map<string, number>();
  for (const device of devices)
    for (const name of new Set(of(device))) found.set(name, (found.get(name) ?? 0) + 1);
  return [...found].map(([name, many]) => ({ name, devices: many })).sort((a, b) => b.devices - a.devices);
}

/** The devices of the made-up system. */
export class FakeDevices {
  list: Device[];
  readonly #now: number;

  constructor(total: number, now: number) {
    this.#now = now;
    this.list = makeDevices(total, now);
  }

  /** What the live topic says of them. */
  live() {
    const seen = this.list.map((device) => Date.parse(device.last_seen ?? '') || 0);
    const changed = this.list.length > 1000 ? '' : JSON.stringify(this.list);
    let revision = 0;
    for (let at = 0; at < changed.length; at++)
      revision = (revision * 31 + changed.charCodeAt(at)) % 0xffffff;
    return {
      total: this.list.length,
      down: this.list.filter((device) => !device.up).length,
      revision,
      marks: 0,
      seen: Math.floor(seen.reduce((a, b) => Math.max(a, b), 0) / 1000),
      lacks: [],
    };
  }

  /** GET /api/devices. */
  page(params: URLSearchParams): DevicesAnswer {
    const found = this.list.filter((device) => matches(device, params.get('filter') ?? ''));
    const from = Number(params.get('page') ?? 0);
    const end = from + Number(params.get('limit') ?? 200);
    return {
      devices: found.slice(from, end),
      next_page: end < found.length ? String(end) : '',
      matching: found.length,
      total: this.list.length,
      classes: counts(found, (device) => [device.device_class]),
      vendors: counts(found, (device) => [device.vendor]),
      services: counts(found, (device) => device.open_ports.map((port) => port.service)),
      complete_to_offset: 0,
      lacks: [],
    };
  }

  /** GET /api/devices/{uid}; null where there is none. */
  one(text: string): DeviceAnswer | null {
    const index = this.list.findIndex(
      (device) => device.uid === text || device.ip.includes(text) || device.names.includes(text),
    );
    const device = this.list[index];
    if (!device) return null;
    const links = device.plugged.slice(0, 1).map((place) => ({
      source: 'lldp',
      if_index: 1,
      port: 'eth0',
      uid: place.switch_uid,
      name: place.switch_name,
      ip: place.switch_ip,
      mac: '',
      remote_port: place.port,
      capabilities: ['bridge'],
      description: '',
    }));
    const detail: DeviceDetail = {
      ...device,
      engine_id: device.snmp ? '800000090300005e005301' : '',
      cpe: [],
      aliases: device.names.length > 0 ? [`dhcp:${device.mac[0]}`] : [],
      evidence: device.vendor
        ? [`Its MAC address is of ${device.vendor}.`, 'Its open ports are those of such a device.']
        : [],
      ports: device.open_ports.map(({ port }) => portOf(port, this.#now, index)),
      links,
      ...(device.snmp ? { reading: reading(index) } : {}),
      where: '',
      query: `(about.uid:="${device.uid}" OR device.uid:="${device.uid}")`,
    };
    return { device: detail, others: [], history: this.#history(device) };
  }

  #history(device: Device): DeviceChange[] {
    const at = (ago: number) => new Date(this.#now - ago).toISOString();
    const moved = device.plugged.length > 1;
    return [
      ...(moved
        ? [
            {
              time: at(2 * day),
              uid: device.uid,
              type: 'device.moved',
              message: `${device.name} moved to ${device.plugged[0]?.port} of ${device.plugged[0]?.switch_name}`,
              offset: 12,
            },
          ]
        : []),
      {
        time: at(3 * day),
        uid: device.uid,
        type: 'device.changed',
        message: `port 22/tcp of ${device.name} opened`,
        offset: 8,
      },
      {
        time: device.first_seen ?? at(0),
        uid: device.uid,
        type: 'device.discovered',
        message: `${device.name} was seen for the first time`,
        offset: 3,
      },
    ];
  }

  /** GET /api/devices/topology. */
  topology(): TopologyAnswer {
    const nodes = this.list.slice(0, 2000).map(({ uid, name, device_class, ip, up, findings }) => ({
      uid,
      name,
      device_class,
      ip: ip[0] ?? '',
      up,
      findings,
    }));
    const switches = switchesOf(this.list.length);
    const links = this.list.slice(1, 2000).map((device, at) => {
      const place = device.plugged[0];
      return place
        ? {
            from: place.switch_uid,
            to: device.uid,
            from_port: place.port,
            to_port: '',
            source: 'fdb',
            description: '',
          }
        : {
            from: uidOf(at < 2 ? 0 : 1),
            to: device.uid,
            from_port: `sfp${at + 1}`,
            to_port: 'Te1/1/1',
            source: 'lldp',
            description: '',
          };
    });
    if (switches > 2)
      links.push({
        from: uidOf(2),
        to: uidOf(3),
        from_port: 'Te1/1/4',
        to_port: 'Te1/1/4',
        source: 'lldp',
        description: '',
      });
    return {
      nodes,
      links: this.list.length > 0 ? links : [],
      left_out: Math.max(0, this.list.length - 2000),
    };
  }

  /** One more device is there. */
  find(now: number): void {
    const device = leaf(200 + this.list.length, 40, now);
    const seen = new Date(now).toISOString();
    this.list = [
      {
        ...device,
        name: 'found-1',
        names: ['found-1'],
        up: true,
        first_seen: seen,
        last_seen: seen,
        mark: { ...noMark },
      },
      ...this.list,
    ];
  }

  /** POST /api/devices/marks. */
  mark(change: MarksChange): { changed: number } {
    let changed = 0;
    this.list = this.list.map((device) => {
      if (!change.uids.includes(device.uid)) return device;
      changed += 1;
      const tags = [...device.mark.tags, ...(change.add_tags ?? [])].filter(
        (tag) => !change.remove_tags?.includes(tag),
      );
      const mark = {
        ...device.mark,
        tags: [...new Set(tags)],
        known: change.known ?? device.mark.known,
        owner: change.owner ?? device.mark.owner,
      };
      return {
        ...device,
        mark: { ...mark, changed_at: new Date(this.#now).toISOString(), changed_by: 'admin' },
      };
    });
    return { changed };
  }
}

/** The scanner's agent, which runs and listens. */
export function makeScanner(now: number): Agent {
  const [like] = makeAgents(1, now);
  if (!like) throw new Error('there is no agent to be like');
  return {
    ...like,
    id: 'device_scanner',
    kind: 'scanner',
    host: 'edge-01',
    node: 'edge-01',
    port: 50006,
    privileges: ['CAP_NET_RAW'],
  };
}

/** Every call about devices; a text says what is wrong. */
export function deviceRoute(
  method: string,
  url: URL,
  body: string,
  devices: FakeDevices,
): { status: number; value: unknown } {
  const rest = url.pathname.slice('/api/devices'.length).replace(/^\//, '');
  if (method === 'POST') return { status: 200, value: devices.mark(JSON.parse(body) as MarksChange) };
  if (rest === '') {
    const wrong = /\bport:(?!\d)\S*/.exec(url.searchParams.get('filter') ?? '')?.[0];
    if (wrong) return { status: 400, value: `${wrong} is no port: write port:22` };
    return { status: 200, value: devices.page(url.searchParams) };
  }
  if (rest === 'topology') return { status: 200, value: devices.topology() };
  const one = devices.one(decodeURIComponent(rest));
  return one
    ? { status: 200, value: one }
    : { status: 404, value: `there is no device ${decodeURIComponent(rest)}` };
}

const parameter = { type: 'string', default: '', required: false, values: [], summary: '' };

/** The task scan: it finds one device more, and is over in a moment. */
export function scanRoute(
  method: string,
  response: ServerResponse,
  body: string,
  devices: FakeDevices,
): void {
  if (method === 'GET') {
    const parameters = [
      { ...parameter, name: 'targets', summary: 'networks, such as 10.0.0.0/24; empty is discovery.subnets' },
      { ...parameter, name: 'ports', summary: 'TCP ports; empty is discovery.port_range' },
    ];
    const task = {
      name: 'device_scan',
      summary: 'Looks for devices and open ports.',
      parameters,
      has_result: true,
      max_seconds: 3600,
      unavailable: '',
    };
    response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify({ tasks: [task] }));
    return;
  }
  const { targets = '' } = (JSON.parse(body) as { parameters: Record<string, string> }).parameters;
  response.writeHead(200, { 'Content-Type': 'application/jsonl' });
  const tell = (state: string, done: number, text: string) =>
    response.write(`${JSON.stringify({ run_id: 'r1', state, done, total: 254, text, result_bytes: 0 })}\n`);
  tell('running', 0, `asking ${targets}`);
  // A run of 198.51.100.0/24 waits until somebody cancels it.
  if (targets.startsWith('198.51.100.')) return;
  setTimeout(() => {
    devices.find(Date.now());
    tell('succeeded', 254, '1 device answers, 1 port is open');
    response.end();
  }, 300);
}
