import type { Device, DeviceLink, DevicePort, OpenPort, SwitchPort } from '$lib/api/devices';
import { instant } from '$lib/format/time';

export const isKnown = (device: Device): boolean => device.mark.known;

/** How long a device that nobody knows is new, in milliseconds. */
export const newFor = 86_400_000;

/** Whether it came within the last day and nobody has said yet that it belongs here. */
export function isNew(device: Device, now: number): boolean {
  const first = instant(device.first_seen);
  return !isKnown(device) && first !== null && now - first < newFor;
}

/** "Debian 12": what it runs. */
export function osOf(device: Pick<Device, 'os_name' | 'os_version'>): string {
  return [device.os_name, device.os_version].filter(Boolean).join(' ');
}

/** "Gi1/0/7 of sw-1, VLAN 20". */
export function placeText(place: SwitchPort): string {
  const port = place.port || (place.if_index ? `port ${place.if_index}` : '');
  const name = place.switch_name || place.switch_ip || place.switch_uid;
  const where = [port, port && name ? `of ${name}` : name].filter(Boolean).join(' ');
  return where + (place.vlan ? `, VLAN ${place.vlan}` : '');
}

/** Where it is plugged in now; null where that is not known, or it was pulled out. */
export function placeOf(device: Pick<Device, 'plugged'>): SwitchPort | null {
  const place = device.plugged[0];
  return place && instant(place.until) === null ? place : null;
}

/** "443/tcp". */
export const portKey = (port: OpenPort): string => `${port.port}/${port.protocol}`;

/** "ssh, https, 8080": its services by name, and by number where they have none. */
export function servicesText(ports: readonly OpenPort[]): string {
  return [...new Set(ports.map((port) => port.service || String(port.port)))].join(', ');
}

/** "OpenSSH 9.2". */
export function productOf(port: OpenPort): string {
  return [port.product, port.version].filter(Boolean).join(' ');
}

/** A remark of a port. That TLS answered is certain where it was spoken, whatever it carries. */
export function remarkOf(
  remark: string,
  port: Pick<DevicePort, 'tls_version' | 'certificate_sha256'>,
): string {
  const proven = port.tls_version !== '' || port.certificate_sha256 !== '';
  return proven && remark.startsWith('not confirmed')
    ? 'TLS answered; what it carries is named by its port alone'
    : remark;
}

/** How a certificate stands: since when it is no longer good, or how long it will be; null without one. */
export function certificateState(
  port: Pick<DevicePort, 'certificate_not_after'>,
  now: number,
): { tone: 'ok' | 'warning' | 'critical'; word: string } | null {
  const ends = instant(port.certificate_not_after);
  if (ends === null) return null;
  const days = Math.floor(Math.abs(ends - now) / 86_400_000);
  const many = `${days} ${days === 1 ? 'day' : 'days'}`;
  if (ends <= now) return { tone: 'critical', word: `expired ${many} ago` };
  return days < 21 ? { tone: 'warning', word: `ends in ${many}` } : { tone: 'ok', word: `valid for ${many}` };
}

/** The neighbour at the other end of a link. */
export const linkName = (link: DeviceLink): string => link.name || link.ip || link.mac || link.uid;

/** The flows of a device's addresses, in the language of Network; empty without any. */
export function flowsOf(device: Pick<Device, 'ip'>): string {
  const sides = device.ip.slice(0, 8).map((ip) => `source.ip:="${ip}" or destination.ip:="${ip}"`);
  return sides.length > 0 ? `(${sides.join(' or ')})` : '';
}

/** Findings that name it or one of its addresses, in the language of Events. */
export function findingsOf(device: Pick<Device, 'ip' | 'uid'>): string {
  const named = [device.uid, ...device.ip.slice(0, 8)].map((name) => JSON.stringify(name));
  return `type:finding.* (${named.join(' or ')})`;
}

/** Compares texts as people order them: 10.0.0.9 before 10.0.0.10, Gi1/0/2 before Gi1/0/10. */
const byWords = new Intl.Collator('en', { numeric: true, sensitivity: 'base' });
export const compareText = (a: string, b: string): number => byWords.compare(a, b);
