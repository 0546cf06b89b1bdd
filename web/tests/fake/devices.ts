import type { ServerResponse } from 'node:http';
import type {
  Device,
  DeviceAnswer,
  DeviceChange,
  DeviceDetail,
  DevicePort,
  DevicesAnswer,
  MarksChange,
  SNMPInterface,
  SNMPReading,
  SwitchPort,
  TopologyAnswer,
} from '../../src/lib/api/devices';
import type { Agent } from '../../src/lib/api/types';
import { makeAgents } from './data';
import { pick, random } from './random';

const kinds = [
  ['workstation', 'Dell', 'Windows', '11', [135, 445, 3389]],
  ['phone', 'Apple', 'iOS', '19', []],
  ['printer', 'Brother', '', '', [80, 515, 631, 9100]],
  ['server', 'Supermicro', 'Debian', '13', [22, 80, 443, 5432]],
  ['camera', 'Axis', 'AXIS OS', '11.8', [80, 554]],
  ['IoT', 'Espressif', '', '', [80]],
  ['storage', 'Synology', 'DSM', '7.2', [22, 443, 445, 5000]],
  ['', '', '', '', []],
] as const;
const services: Record<number, [service: string, product: string, version: string]> = {
  22: ['ssh', 'OpenSSH', '10.0'],
  80: ['http', 'nginx', '1.28.0'],
  135: ['msrpc', '', ''],
  443: ['https', 'nginx', '1.28.0'],
  445: ['microsoft-ds', 'Samba', '4.22'],
  515: ['printer', '', ''],
  554: ['rtsp', '', ''],
  631: ['ipp', 'CUPS', '2.4'],
  3389: ['ms-wbt-server', '', ''],
  5000: ['http', 'DSM', ''],
  5432: ['postgresql', 'PostgreSQL', '17.2'],
  9100: ['jetdirect', '', ''],
};

const day = 86_400_000;
const hex = (value: number, digits = 2) => value.toString(16).padStart(digits, '0');
const noMark = { known: false, owner: '', tags: [], note: '', changed_at: null, changed_by: '' };

function portOf(port: number, now: number, index: number): DevicePort {
  const [service, product, version] = services[port] ?? ['', '', ''];
  const secure = port === 443;
  return {
    port,
    protocol: 'tcp',
    service,
    product,
    version,
    banner: port === 22 ? `SSH-2.0-OpenSSH_${version}` : '',
    cpe: product
      ? `cpe:2.3:a:${product.toLowerCase()}:${product.toLowerCase()}:${version || '*'}:*:*:*:*:*:*:*`
      : '',
    title: port === 80 ? 'Sign in' : '',
    server: port === 80 ? `nginx/${version}` : '',
    favicon_sha256: '',
    tls_version: secure ? 'TLS 1.3' : '',
    certificate_subject: secure ? `CN=host-${index}.example.net` : '',
    certificate_issuer: secure ? 'CN=Example Authority' : '',
    certificate_not_after: secure ? new Date(now + ((index % 3) - 1) * 40 * day + day).toISOString() : null,
    certificate_sha256: secure ? 'ab'.repeat(32) : '',
    certificate_self_signed: secure && index % 5 === 0,
    host_key: port === 22 ? 'SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU' : '',
    remarks: port === 5432 && index % 4 === 3 ? ['takes any password'] : [],
  };
}

/** The switches that the others hang at: one for each 40, and a router above them. */
const switchesOf = (total: number) => Math.max(2, Math.ceil(total / 40));
const uidOf = (index: number) => `mac-00005e${hex(index, 6)}`;

function placeOf(index: number, at: number, since: number, until: number | null): SwitchPort {
  return {
    switch_uid: uidOf(at + 1),
    switch_name: `sw-${at + 1}`,
    switch_ip: `10.0.0.${at + 2}`,
    if_index: 10_100 + (index % 48),
    port: `Gi1/0/${1 + (index % 48)}`,
    vlan: 10 + (index % 3) * 10,
    mac: macOf(index),
    source: 'fdb',
    since: new Date(since).toISOString(),
    until: until === null ? null : new Date(until).toISOString(),
  };
}

const macOf = (index: number) =>
  `00:00:5e:${hex((index >> 16) & 255)}:${hex((index >> 8) & 255)}:${hex(index & 255)}`;

function carrier(index: number, now: number): Device {
  const router = index === 0;
  const name = router ? 'gw' : `sw-${index}`;
  return {
    ...blank(index, now),
    name,
    names: [name, `${name}.example.net`],
    ip: [`10.0.${index >> 8}.${(index & 255) + 1}`],
    vendor: router ? 'MikroTik' : 'Cisco Systems',
    model: router ? 'CCR2004' : 'C9300-48P',
    serial_number: `FOC${1000 + index}`,
    os_name: router ? 'RouterOS' : 'IOS XE',
    os_version: router ? '7.16' : '17.12.4',
    device_class: router ? 'router' : 'switch',
    sources: ['arp', 'snmp', 'lldp'],
    open_ports: [{ port: 22, protocol: 'tcp', service: 'ssh', product: 'OpenSSH', version: '10.0' }],
    plugged: [],
    snmp: true,
    mark: {
      ...noMark,
      known: true,
      owner: 'network',
      tags: ['core'],
      changed_at: new Date(now - 9 * day).toISOString(),
      changed_by: 'admin',
    },
  };
}

function blank(index: number, now: number): Device {
  const next = random(index * 131 + 7);
  return {
    uid: uidOf(index),
    name: '',
    names: [],
    ip: [],
    mac: [macOf(index)],
    mac_randomized: false,
    vendor: '',
    model: '',
    serial_number: '',
    os_name: '',
    os_version: '',
    device_class: '',
    confidence: 0.5 + Math.round(next() * 50) / 100,
    subnet: '10.0.0.0/24',
    open_ports: [],
    sources: ['arp'],
    first_seen: new Date(now - (4 + Math.floor(next() * 300)) * day).toISOString(),
    last_seen: new Date(now - index * 700 - 4000).toISOString(),
    up: true,
    findings: 0,
    observers: ['edge-01'],
    host: '',
    plugged: [],
    snmp: false,
    former_uids: [],
    mark: { ...noMark },
  };
}

function leaf(index: number, total: number, now: number): Device {
  const next = random(index * 7919 + 3);
  const [device_class, vendor, os_name, os_version, ports] = pick(next, kinds);
  const named = next() > 0.25;
  const ip = `10.0.${(index >> 8) & 255}.${index & 255}`;
  const name = named ? `${(device_class || 'thing').toLowerCase()}-${index}` : ip;
  const at = index % switchesOf(total);
  const fresh = index % 23 === 11;
  const moved = index % 9 === 4;
  const since = now - 2 * day;
  return {
    ...blank(index, now),
    name,
    names: named ? [name, `${name}.example.net`] : [],
    ip: index % 6 === 0 ? [ip, `2001:db8::${hex(index, 4)}`] : [ip],
    mac_randomized: device_class === 'phone',
    vendor,
    os_name,
    os_version,
    device_class,
    subnet: `10.0.${(index >> 8) & 255}.0/24`,
    open_ports: ports.map((port) => {
      const [service, product, version] = services[port] ?? ['', '', ''];
      return { port, protocol: 'tcp', service, product, version };
    }),
    sources: named ? ['arp', 'dhcp', 'mdns'] : ['arp'],
    ...(fresh ? { first_seen: new Date(now - 3_600_000 * (1 + (index % 5))).toISOString() } : {}),
    up: index % 8 !== 5,
    findings: index % 17 === 3 ? 2 : 0,
    plugged: [
      placeOf(index, at, since, null),
      ...(moved ? [placeOf(index + 7, (at + 1) % switchesOf(total), since - 30 * day, since)] : []),
    ],
    mark:
      index % 3 === 0
        ? {
            ...noMark,
            known: true,
            owner: pick(next, ['kim', 'lee', 'facility']),
            tags: pick(next, [[], ['office'], ['lab', 'iot']]),
          }
        : { ...noMark },
  };
}

export function makeDevices(total: number, now: number): Device[] {
  const carriers = total > 0 ? switchesOf(total) + 1 : 0;
  return Array.from({ length: total }, (_, index) =>
    index < carriers ? carrier(index, now) : leaf(index, total, now),
  );
}

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
        ? { from: place.switch_uid, to: device.uid, from_port: place.port, to_port: '', source: 'fdb' }
        : {
            from: uidOf(at < 2 ? 0 : 1),
            to: device.uid,
            from_port: `sfp${at + 1}`,
            to_port: 'Te1/1/1',
            source: 'lldp',
          };
    });
    if (switches > 2)
      links.push({ from: uidOf(2), to: uidOf(3), from_port: 'Te1/1/4', to_port: 'Te1/1/4', source: 'lldp' });
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

function reading(index: number): SNMPReading {
  const next = random(index + 99);
  const interfaces = Array.from({ length: 48 }, (_, at): SNMPInterface => {
    const up = next() > 0.3;
    return {
      index: 10_101 + at,
      name: `Gi1/0/${at + 1}`,
      alias: at % 7 === 0 ? `to desk ${at}` : '',
      type: 'ethernetCsmacd',
      mac: '',
      speed_bps: 1e9,
      admin_status: at % 13 === 12 ? 'down' : 'up',
      oper_status: up ? 'up' : 'down',
      bytes_in: 0,
      bytes_out: 0,
      packets_in: 0,
      packets_out: 0,
      errors_in: at % 11 === 3 ? 1204 : 0,
      errors_out: 0,
      discards_in: 0,
      discards_out: 0,
      bytes_in_per_second: up ? next() * 4e6 : 0,
      bytes_out_per_second: up ? next() * 9e6 : 0,
      errors_per_second: at % 11 === 3 ? 0.4 : 0,
      poe_watts: at % 5 === 0 ? 6.2 : 0,
    };
  });
  return {
    target: '10.0.0.2',
    sys_name: `sw-${index}`,
    sys_descr: 'Cisco IOS Software [Dublin], Catalyst L3 Switch Software (CAT9K_IOSXE), Version 17.12.4',
    sys_object_id: '1.3.6.1.4.1.9.1.2494',
    hardware: 'C9300-48P',
    location: 'Rack 4',
    contact: 'network@example.net',
    uptime_seconds: 8_640_000,
    response_seconds: 0.012,
    error: '',
    incomplete: [],
    cpu_percent: [14, 9],
    memory: [{ name: 'Processor', used_bytes: 310e6, total_bytes: 1.3e9 }],
    storage: [{ name: 'flash', used_bytes: 10.2e9, total_bytes: 11e9 }],
    sensors: [
      { name: 'Inlet', kind: 'temperature', value: 24.5, unit: 'Cel', status: 'ok' },
      { name: 'Fan 1', kind: 'fan', value: 5200, unit: '{rpm}', status: 'warning' },
    ],
    interfaces,
    bgp_peers: [],
  };
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
      { ...parameter, name: 'subnet', summary: 'Such as 192.168.1.0/24.', required: true },
      { ...parameter, name: 'ports', default: '1-1000' },
    ];
    const task = {
      name: 'scan',
      summary: 'Looks for devices and open ports.',
      parameters,
      has_result: false,
      max_seconds: 3600,
      unavailable: '',
    };
    response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify({ tasks: [task] }));
    return;
  }
  const { subnet = '' } = (JSON.parse(body) as { parameters: Record<string, string> }).parameters;
  response.writeHead(200, { 'Content-Type': 'application/jsonl' });
  const tell = (state: string, done: number, text: string) =>
    response.write(`${JSON.stringify({ run_id: 'r1', state, done, total: 254, text, result_bytes: 0 })}\n`);
  tell('running', 0, `asking ${subnet}`);
  // A run of 198.51.100.0/24 waits until somebody cancels it.
  if (subnet.startsWith('198.51.100.')) return;
  setTimeout(() => {
    devices.find(Date.now());
    tell('succeeded', 254, '1 device answers, 1 port is open');
    response.end();
  }, 300);
}
