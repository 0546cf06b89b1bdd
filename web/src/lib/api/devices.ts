import { queryString, request } from './client';

/** An open port, in a list. */
export interface OpenPort {
  port: number;
  protocol: string;
  service: string;
  product: string;
  version: string;
}

/** An open port and what answers there. */
export interface DevicePort extends OpenPort {
  banner: string;
  cpe: string;
  title: string;
  server: string;
  favicon_sha256: string;
  tls_version: string;
  certificate_subject: string;
  certificate_issuer: string;
  certificate_not_after: string | null;
  certificate_sha256: string;
  certificate_self_signed: boolean;
  host_key: string;
  remarks: string[];
}

/** A port of a switch behind which a device is, or was. */
export interface SwitchPort {
  switch_uid: string;
  switch_name: string;
  switch_ip: string;
  if_index: number;
  port: string;
  vlan: number;
  mac: string;
  source: string;
  since: string | null;
  until: string | null;
}

export interface DeviceLink {
  source: string;
  if_index: number;
  port: string;
  uid: string;
  name: string;
  ip: string;
  mac: string;
  remote_port: string;
  capabilities: string[];
  description: string;
}

/** What people say of a device. */
export interface DeviceMark {
  known: boolean;
  owner: string;
  tags: string[];
  note: string;
  changed_at: string | null;
  changed_by: string;
}

/** What is known of a device, in a list. */
export interface Device {
  uid: string;
  name: string;
  names: string[];
  ip: string[];
  mac: string[];
  mac_randomized: boolean;
  vendor: string;
  model: string;
  serial_number: string;
  os_name: string;
  os_version: string;
  device_class: string;
  confidence: number;
  subnet: string;
  open_ports: OpenPort[];
  sources: string[];
  first_seen: string | null;
  last_seen: string | null;
  up: boolean;
  findings: number;
  observers: string[];
  host: string;
  plugged: SwitchPort[];
  snmp: boolean;
  former_uids: string[];
  mark: DeviceMark;
}

export interface SNMPInterface {
  index: number;
  name: string;
  alias: string;
  type: string;
  mac: string;
  speed_bps: number;
  admin_status: string;
  oper_status: string;
  errors_in: number;
  errors_out: number;
  discards_in: number;
  discards_out: number;
  bytes_in_per_second: number;
  bytes_out_per_second: number;
  errors_per_second: number;
  poe_watts: number;
}

export interface SNMPMemory {
  name: string;
  used_bytes: number;
  total_bytes: number;
}

export interface SNMPSensor {
  name: string;
  kind: string;
  value: number;
  unit: string;
  status: string;
}

export interface SNMPPeer {
  ip: string;
  asn: number;
  state: string;
  established_seconds: number;
}

export interface SNMPReading {
  target: string;
  sys_name: string;
  sys_descr: string;
  sys_object_id: string;
  hardware: string;
  location: string;
  contact: string;
  uptime_seconds: number;
  response_seconds: number;
  error: string;
  incomplete: string[];
  cpu_percent: number[];
  memory: SNMPMemory[];
  storage: SNMPMemory[];
  sensors: SNMPSensor[];
  interfaces: SNMPInterface[];
  bgp_peers: SNMPPeer[];
}

/** All that is known of a device. */
export interface DeviceDetail extends Device {
  engine_id: string;
  cpe: string[];
  aliases: string[];
  evidence: string[];
  ports: DevicePort[];
  links: DeviceLink[];
  reading?: SNMPReading;
  where: string;
  /** Finds its events, in the language of Events. */
  query: string;
}

export interface DeviceCount {
  name: string;
  devices: number;
}

export interface DevicesAnswer {
  devices: Device[];
  /** The page to ask for next; empty on the last. */
  next_page: string;
  matching: number;
  total: number;
  classes: DeviceCount[];
  vendors: DeviceCount[];
  services: DeviceCount[];
  complete_to_offset: number;
  lacks: string[];
}

export interface DeviceChange {
  time: string;
  uid: string;
  type: string;
  message: string;
  offset: number;
}

export interface DeviceAnswer {
  device: DeviceDetail;
  others: Device[];
  history: DeviceChange[];
}

export interface TopologyNode {
  uid: string;
  name: string;
  device_class: string;
  ip: string;
  up: boolean;
  findings: number;
}

export interface TopologyLink {
  from: string;
  to: string;
  from_port: string;
  to_port: string;
  source: string;
}

export interface TopologyAnswer {
  nodes: TopologyNode[];
  links: TopologyLink[];
  left_out: number;
}

/** What is said of many devices at once; what is absent stays as it is. */
export interface MarksChange {
  uids: string[];
  known?: boolean;
  owner?: string;
  add_tags?: string[];
  remove_tags?: string[];
  note?: string;
}

/** Which devices an export is of. */
export interface DeviceChoice {
  filter?: string;
  known?: 'any' | 'yes' | 'no';
  tag?: string;
}

/** Every call about devices, one line each. */
export const deviceApi = {
  list: (query: { filter?: string; limit?: number; page?: string }, signal?: AbortSignal) =>
    request<DevicesAnswer>('/api/devices', { query: { ...query }, signal }),
  find: (text: string, signal?: AbortSignal) =>
    request<DeviceAnswer>(`/api/devices/${encodeURIComponent(text)}`, { signal }),
  topology: (uid: string, signal?: AbortSignal) =>
    request<TopologyAnswer>('/api/devices/topology', { query: { uid }, signal }),
  exportAddress: (query: DeviceChoice & { format: 'csv' | 'json' | 'nmap-xml' }) =>
    `/api/devices/export${queryString({ ...query })}`,
  mark: (change: MarksChange) =>
    request<{ changed: number }>('/api/devices/marks', { method: 'POST', body: change }),
};
