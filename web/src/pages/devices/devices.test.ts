import { describe, expect, it } from 'vitest';
import type { Device } from '$lib/api/devices';
import { makeDevices } from '../../../tests/fake/makedevices';
import { classWord } from './classes';
import { columnsFor, sorted, usualColumns } from './columns';
import { certificateState, flowsOf, isNew, placeOf, placeText, remarkOf } from './device';
import { facetsOf, narrowed } from './facets';
import { asksMarks, isUnfinished, terms, wantedOf, withValue } from './filter';
import { applied, tagsOf } from './marking';
import { linesOf, pollLabels, queryOf } from './rates.svelte';
import { Selected } from './selection.svelte';

const now = Date.parse('2026-03-01T12:00:00Z');
const devices = makeDevices(40, now);
const device = (change: Partial<Device>): Device => ({ ...(devices[20] as Device), ...change });

describe('the filter', () => {
  it.each([
    ['', 'class', 'printer', 'class:printer'],
    ['sw-1', 'class', 'printer', 'sw-1 class:printer'],
    ['class:phone sw-1', 'class', 'printer', 'sw-1 class:printer'],
    ['vendor:"Cisco Systems" up:true', 'vendor', '', 'up:true'],
    ['', 'vendor', 'Cisco Systems', 'vendor:"Cisco Systems"'],
    ['Port:22', 'port', '443', 'port:443'],
  ] as const)('of %j with %s %j is %j', (before, key, value, after) => {
    expect(withValue(before, key, value)).toBe(after);
    expect(wantedOf(after, key)).toBe(value);
  });

  it('waits for the end of a word', () => {
    const unfinished = ['class:', 'a vendor:', '-os:', 'vendor:"Cis'];
    expect([...unfinished, 'class:a', 'fe80:', '', '"a b"'].filter(isUnfinished)).toEqual(unfinished);
  });

  it('knows what asks for marks', () => {
    const marks = ['owner:noc', 'a -tag:x', 'device.tags:x', 'Known:no', 'note:"a b"'];
    expect([...marks, 'owner', 'class:owner', 'homeowner:x', ''].filter(asksMarks)).toEqual(marks);
  });

  it('reads words and quotes', () => {
    expect(terms('a vendor:"B C" d:"e').map(({ key, value }) => [key, value])).toEqual([
      ['', 'a'],
      ['vendor', 'B C'],
      ['d', 'e'],
    ]);
  });
});

describe('the list', () => {
  it('sorts addresses as numbers, times as times, and leaves what is empty for the end', () => {
    const some = [device({ ip: ['10.0.0.10'] }), device({ ip: [] }), device({ ip: ['10.0.0.9'] })];
    expect(sorted(some, 'ip').map((each) => each.ip[0])).toEqual(['10.0.0.9', '10.0.0.10', undefined]);
    expect(sorted(some, '-ip').map((each) => each.ip[0])).toEqual(['10.0.0.10', '10.0.0.9', undefined]);
    const first = sorted(devices, '-first')[0];
    expect(first?.first_seen).toBe(
      [...devices]
        .map((each) => each.first_seen ?? '')
        .sort()
        .at(-1),
    );
  });

  it('is narrowed to what nobody knows, what is new, and to a tag', () => {
    const unknown = narrowed(devices, { q: '', tag: '', mark: 'unknown' }, now);
    expect(unknown.every((each) => !each.mark.known)).toBe(true);
    const fresh = narrowed(devices, { q: '', tag: '', mark: 'new' }, now);
    expect(fresh.length).toBeGreaterThan(0);
    expect(fresh.every((each) => isNew(each, now))).toBe(true);
    expect(narrowed(devices, { q: '', tag: 'core', mark: 'all' }, now).every((each) => each.snmp)).toBe(true);
  });

  it('counts what it can be narrowed to, and lets go of what nothing has', () => {
    const counts = { classes: [{ name: 'printer', devices: 3 }], vendors: [], services: [] };
    const of = (q: string, title: string) =>
      facetsOf(counts, devices, { q, tag: '', mark: 'all' }, now).find((facet) => facet.title === title);
    expect(of('class:printer', 'Class')?.values).toEqual([
      { value: 'printer', label: 'printer', devices: 3, on: true },
    ]);
    expect(of('vendor:acme', 'Vendor')?.values).toEqual([
      { value: 'acme', label: 'acme', devices: 0, on: true },
    ]);
    const owned = devices.filter((each) => each.mark.owner !== '').length;
    const owners = of('known:true', 'Owner')?.values.reduce((sum, each) => sum + each.devices, 0);
    expect([owned > 0, owners]).toEqual([true, owned]);
    expect(of('known:true', 'Class')?.values.some((each) => each.devices > 0)).toBe(true);
    expect(of('x', 'Vendor')?.choose('A B')).toEqual({ q: 'x vendor:"A B"' });
    const state = of('', 'State')?.values.map(({ label, devices: found }) => [label, found]);
    expect(Object.fromEntries(state ?? []).down).toBe(devices.filter((each) => !each.up).length);
  });

  it('selects one, a range, and none', () => {
    const selected = new Selected();
    const rows = devices.slice(0, 6);
    const at = (index: number) => rows[index]?.uid ?? '';
    selected.toggle(at(1), false, rows);
    selected.toggle(at(4), true, rows);
    expect([...selected.uids].sort()).toEqual([1, 2, 3, 4].map(at).sort());
    selected.toggle(at(2), false, rows);
    selected.toggle(at(3), true, rows);
    expect([...selected.uids].sort()).toEqual([1, 4].map(at).sort());
    selected.clear();
    expect(selected.size).toBe(0);
  });
});

describe('the columns', () => {
  it('begin on a narrow screen with what says most', () => {
    const keys = (narrow: boolean) => columnsFor(usualColumns, narrow).map(({ key }) => key);
    expect(keys(true).slice(0, 6)).toEqual(['name', 'state', 'ip', 'class', 'last', 'vendor']);
    expect(keys(false).slice(0, 3)).toEqual(['name', 'state', 'last']);
    expect(keys(true).sort()).toEqual(keys(false).sort());
  });
});

describe('one device', () => {
  it('says how its certificate stands', () => {
    const ends = (days: number) => ({
      certificate_not_after: new Date(now + days * 86_400_000).toISOString(),
    });
    expect(certificateState(ends(-2), now)).toEqual({ tone: 'critical', word: 'expired 2 days ago' });
    expect(certificateState(ends(1), now)).toEqual({ tone: 'warning', word: 'ends in 1 day' });
    expect(certificateState(ends(90), now)?.tone).toBe('ok');
    expect(certificateState({ certificate_not_after: null }, now)).toBeNull();
  });

  it('does not doubt TLS that was spoken', () => {
    const doubt = 'not confirmed: named by its port alone';
    expect(remarkOf(doubt, { tls_version: '', certificate_sha256: '' })).toBe(doubt);
    expect(remarkOf(doubt, { tls_version: '1.3', certificate_sha256: '' })).toMatch(/^TLS answered/);
    expect(remarkOf('anonymous login', { tls_version: '1.3', certificate_sha256: 'a' })).toBe(
      'anonymous login',
    );
  });

  it('says where it is plugged in', () => {
    const at = devices.find((each) => each.plugged.length > 1);
    const [place, before] = at?.plugged ?? [];
    if (!at || !place || !before) throw new Error('none has moved');
    expect(placeText(place)).toMatch(/^Gi1\/0\/\d+ of sw-\d+, VLAN \d0$/);
    expect(placeOf(at)).toBe(place);
    expect(placeOf({ plugged: [before] })).toBeNull();
    expect(flowsOf({ ip: ['192.0.2.1'] })).toBe('(source.ip:="192.0.2.1" or destination.ip:="192.0.2.1")');
  });

  it('has one class, however observers spell it', () => {
    expect([classWord('access_point'), classWord('AP'), classWord('toaster'), classWord('')]).toEqual([
      'access point',
      'access point',
      'toaster',
      'unclassified',
    ]);
  });

  it('takes marks as the server does', () => {
    const mark = { known: false, owner: 'kim', tags: ['b'], note: '', changed_at: null, changed_by: '' };
    const change = { uids: [], known: true, add_tags: ['a'], remove_tags: ['b'] };
    expect(applied(mark, change)).toMatchObject({ known: true, owner: 'kim', tags: ['a'] });
    expect(tagsOf(' a, b a ')).toEqual(['a', 'b']);
  });

  it('asks the metrics for what is polled, and keeps gaps', () => {
    expect(pollLabels('192.0.2.1:161', ['192.0.2.1', '192.0.2.9'])).toEqual(['192.0.2.1', '192.0.2.9']);
    expect(pollLabels('[2001:db8::1]:161', [])).toEqual(['2001:db8::1']);
    expect(pollLabels('192.0.2.1:1161', ['192.0.2.1'])).toEqual(['192.0.2.1:1161']);
    expect(queryOf('in', ['192.0.2.1', '2001:db8::1'], ['site-1', 'b.example'])).toBe(
      'max by (ifIndex) (rate(snmp_interface_bytes_in{ip=~"192\\\\.0\\\\.2\\\\.1|2001:db8::1",host=~"site-1|b\\\\.example"}[15m]))',
    );
    expect(queryOf('cpu', ['a"b'], [])).toBe('max by () (snmp_system_cpu_load{ip=~"a\\"b"})');
    const lines = linesOf(
      [
        {
          metric: { ifIndex: '3' },
          values: [
            [900, '1.5'],
            [1800, 'NaN'],
            [99_999, '7'],
          ],
        },
      ],
      'ifIndex',
      450,
    );
    expect(lines.get('3')?.slice(0, 4)).toEqual([null, 1.5, null, null]);
  });
});
