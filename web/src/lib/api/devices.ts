import type { components } from './api.gen';
import { queryString, request } from './client';

type Schemas = components['schemas'];

export type Device = Schemas['Device'];
export type DeviceDetail = Schemas['DeviceDetail'];
export type DeviceMark = Schemas['DeviceMark'];
export type DevicePort = Schemas['DevicePort'];
export type DeviceLink = Schemas['DeviceLink'];
export type DeviceCount = Schemas['DeviceCount'];
export type DeviceChange = Schemas['DeviceChange'];
export type OpenPort = Schemas['OpenPort'];
export type SwitchPort = Schemas['SwitchPort'];
export type SNMPReading = Schemas['SNMPReading'];
export type SNMPInterface = Schemas['SNMPInterface'];
export type SNMPMemory = Schemas['SNMPMemory'];
export type SNMPSensor = Schemas['SNMPSensor'];
export type DevicesAnswer = Schemas['DevicesAnswer'];
export type DeviceAnswer = Schemas['DeviceAnswer'];
export type TopologyAnswer = Schemas['TopologyAnswer'];
export type TopologyNode = Schemas['TopologyNode'];
export type TopologyLink = Schemas['TopologyLink'];
/** What is said of many devices at once; what is absent stays as it is. */
export type MarksChange = Schemas['MarkDevicesInputBody'];

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
