import type { Device, DevicePort, SNMPInterface, SNMPReading, SwitchPort } from '../../src/lib/api/devices';
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

export const day = 86_400_000;
const hex = (value: number, digits = 2) => value.toString(16).padStart(digits, '0');
export const noMark = { known: false, owner: '', tags: [], note: '', changed_at: null, changed_by: '' };

export function portOf(port: number, now: number, index: number): DevicePort {
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
export const switchesOf = (total: number) => Math.max(2, Math.ceil(total / 40));
export const uidOf = (index: number) => `mac-00005e${hex(index, 6)}`;

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

export function leaf(index: number, total: number, now: number): Device {
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

/** What SNMP reads of a switch. */
export function reading(index: number): SNMPReading {
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
    target: `10.0.${index >> 8}.${(index & 255) + 1}:161`,
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
