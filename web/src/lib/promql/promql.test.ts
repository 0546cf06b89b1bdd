import { describe, expect, it } from 'vitest';
import type { QueryData } from '../api/prometheus';
import { durationOptions, labelOptions, nameOptions, taken, valueOptions } from './complete';
import { placeAt } from './place';
import { briefNames, faultOf, figuresOf, frameOfAnswers, mostSeries, rowsOf, seriesName } from './results';
import { oneLine, tokenize } from './tokens';
import { unitOf } from './units';

/** A query with | at the caret. */
function at(text: string) {
  const caret = text.indexOf('|');
  const query = text.replace('|', '');
  return { query, place: placeAt(query, caret) };
}

describe('tokens', () => {
  it('are names, numbers with units, strings and marks', () => {
    const tokens = tokenize('rate(a:b_total{x=~"y\\"z"}[5m30s]) >= 1.5e3 # why');
    expect(tokens.map((token) => token.text)).toEqual([
      ...[
        'rate',
        '(',
        'a:b_total',
        '{',
        'x',
        '=~',
        '"y\\"z"',
        '}',
        '[',
        '5m30s',
        ']',
        ')',
        '>=',
        '1.5e3',
        '# why',
      ],
    ]);
  });

  it('never fail, and cover what is there', () => {
    for (const text of ['"open', '`', '\\', '5..', '{{{', 'a=~', '😀']) {
      expect(tokenize(text).at(-1)?.end).toBe(text.length);
    }
  });

  it('make one line', () => {
    expect(oneLine(' sum(\n  a # all\n)\n/ b ')).toBe('sum( a ) / b');
    expect(oneLine('a{b="c # d"}')).toBe('a{b="c # d"}');
  });
});

describe('the place of the caret', () => {
  it.each([
    ['|', 'name', '', ''],
    ['pro|', 'name', 'pro', ''],
    ['sum(pro|)', 'name', 'pro', ''],
    ['a + |', 'name', '', ''],
    ['a{|}', 'label', '', 'a'],
    ['a{b="c",ho|}', 'label', 'ho', 'a{b="c"}'],
    ['{b="c",|', 'label', '', '{b="c"}'],
    ['a{b="c",host="w|', 'value', 'w', 'a{b="c"}'],
    ['a{b="c",host=~"w|b"}', 'value', 'w', 'a{b="c"}'],
    ['sum by (|) (a{x="y"})', 'label', '', 'a'],
    ['sum by (ho|', 'label', 'ho', ''],
    ['a * on (|) b', 'label', '', 'a'],
    ['rate(a[|', 'duration', '', ''],
    ['rate(a[1|])', 'duration', '1', ''],
  ])('%s is a %s', (text, kind, typed, selector) => {
    expect(at(text).place).toMatchObject({ kind, typed, selector });
  });

  it.each(['a{b="c"|}', 'a # com|', '12|', '"str|"'])('%s has none', (text) => {
    expect(at(text).place).toBeNull();
  });
});

describe('completion', () => {
  const catalog = {
    names: ['process_cpu_percent', 'flow_bytes_in', 'my_process'],
    metadata: { process_cpu_percent: [{ type: 'gauge', help: 'CPU use.', unit: '%' }] },
  };

  it('has metrics with their help first, then functions', () => {
    const { query, place } = at('proc|');
    const found = place ? nameOptions(place, query, catalog) : [];
    expect(found.map((each) => each.label)).toEqual(['process_cpu_percent', 'my_process']);
    expect(found[0]?.note).toBe('gauge: CPU use.');
    const rate = at('rat|');
    expect(rate.place && nameOptions(rate.place, rate.query, catalog)[0]).toMatchObject({
      label: 'rate(v[5m])',
      text: 'rate()',
      behind: 1,
    });
  });

  it('takes an option, with the caret where one goes on', () => {
    const name = at('sum(ra|)');
    const option = name.place && nameOptions(name.place, name.query, catalog)[0];
    expect(option && name.place && taken(name.query, name.place, option)).toEqual({
      query: 'sum(rate())',
      caret: 9,
    });
    const label = at('a{ho|}');
    const [host] = label.place ? labelOptions(label.place, label.query, ['__name__', 'host']) : [];
    expect(host && label.place && taken(label.query, label.place, host)).toEqual({
      query: 'a{host=""}',
      caret: 8,
    });
    const value = at('a{host="w|"}');
    const [web] = value.place ? valueOptions(value.place, value.query, ['web "1"']) : [];
    expect(web && value.place && taken(value.query, value.place, web).query).toBe('a{host="web \\"1\\""}');
    const open = at('a{host="|');
    const [first] = open.place ? valueOptions(open.place, open.query, ['x']) : [];
    expect(first && open.place && taken(open.query, open.place, first).query).toBe('a{host="x"');
    const range = at('rate(a[5|');
    expect(range.place && durationOptions(range.place, range.query)[0]?.text).toBe('5m]');
    const grouped = at('sum by (ho|) (a)');
    expect(grouped.place && labelOptions(grouped.place, grouped.query, ['host'])[0]?.text).toBe('host');
  });
});

describe('results', () => {
  const matrix = (...values: (readonly [Record<string, string>, [number, string][]])[]): QueryData => ({
    resultType: 'matrix',
    result: values.map(([metric, points]) => ({ metric, values: points })),
  });

  it('become lines over common times, what is no number a gap', () => {
    const frame = frameOfAnswers(
      [
        {
          query: 'a',
          unit: '%',
          data: matrix([
            { __name__: 'a', host: 'x' },
            [
              [100, '1'],
              [130, 'NaN'],
            ],
          ]),
        },
        { query: 'b', unit: '%', data: matrix([{}, [[115, '-2']]]) },
        { query: 'c', unit: '', data: null },
      ],
      100,
      130,
      15,
    );
    expect(frame.times).toEqual([100, 115, 130]);
    expect(frame.unit).toBe('%');
    expect(frame.lines.map((line) => [line.label, line.values])).toEqual([
      ['A a{host="x"}', [1, null, null]],
      ['B b', [null, -2, null]],
    ]);
    expect(figuresOf({ label: '', values: [1, null, 3] })).toEqual({ last: 3, min: 1, max: 3, mean: 2 });
    expect(figuresOf({ label: '', values: [null] })).toBeNull();
  });

  it('are bounded', () => {
    const many = Array.from({ length: mostSeries + 5 }, (_, at): Parameters<typeof matrix>[number] => [
      { i: String(at) },
      [[0, '1']],
    ]);
    const frame = frameOfAnswers([{ query: 'a', unit: '', data: matrix(...many) }], 0, 0, 5);
    expect([frame.lines.length, frame.left]).toEqual([mostSeries, 5]);
  });

  it('are those that go on, and then the largest, where there are too many', () => {
    const ended = Array.from({ length: mostSeries }, (_, at): Parameters<typeof matrix>[number] => [
      { ended: String(at) },
      [[0, String(100 + at)]],
    ]);
    const lives: Parameters<typeof matrix>[number] = [{ lives: 'yes' }, [[5, '1']]];
    const data = matrix(...ended, lives);
    const names = frameOfAnswers([{ query: 'a', unit: '%', data }], 0, 5, 5).lines.map((line) => line.label);
    expect(names).toContain('{lives="yes"}');
    expect(names).toContain('{ended="59"}');
    expect(names).not.toContain('{ended="0"}');
  });

  it('are named by what tells them apart', () => {
    const one = { __name__: 'a', host: 'x', process: 'p' };
    expect(briefNames([one, { ...one, process: 'q' }])).toEqual(['p', 'q']);
    expect(briefNames([one])).toEqual(['a']);
    const pids = [
      { ...one, host: 'y', pid: '1' },
      { ...one, process: 'q', pid: '2' },
    ];
    expect(briefNames(pids)).toEqual(['p, y, pid: 1', 'q, x, pid: 2']);
    expect(briefNames([{}], 'sum(a)')).toEqual(['sum(a)']);
    expect(seriesName({ __name__: 'a', b: 'c"d' })).toBe('a{b="c\\"d"}');
  });

  it('of a moment are rows, whatever their type', () => {
    expect(rowsOf({ resultType: 'scalar', result: [5, '2.5'] })).toMatchObject([{ value: 2.5, time: 5 }]);
    expect(rowsOf({ resultType: 'string', result: [5, 'up'] })).toMatchObject([{ value: null, text: 'up' }]);
    expect(rowsOf({ resultType: 'vector', result: [{ metric: {}, histogram: {} }] })).toMatchObject([
      { value: null },
    ]);
    expect(
      rowsOf(
        matrix([
          {},
          [
            [1, '1'],
            [2, '7'],
          ],
        ]),
      ),
    ).toMatchObject([{ value: 7, time: 2 }]);
  });

  it('say where the fault is, in characters', () => {
    const message = 'invalid parameter "query": 1:8: parse error: unexpected end of input';
    expect(faultOf(message, 'sum(aé')).toEqual({ text: 'unexpected end of input', at: 6 });
    expect(faultOf('2:3: parse error: x', 'ab\ncde')).toEqual({ text: 'x', at: 5 });
    expect(faultOf('1:99: parse error: x', 'ab')).toEqual({ text: 'x', at: 2 });
    expect(faultOf('query timed out', 'ab')).toEqual({ text: 'query timed out', at: null });
  });
});

describe('units', () => {
  const metadata = { flow: [{ type: 'gauge', help: '', unit: 'By' }] };
  it.each([
    ['process_memory_bytes', 'bytes'],
    ['rate(snmp_interface_bytes_in[5m])', 'By/s'],
    ['topk(5, rate(flow[5m]))', 'By/s'],
    ['process_cpu_percent', 'percent'],
    ['device_last_seen_timestamp_seconds', ''],
    ['rate(x_seconds_sum[5m])', ''],
    ['count(process_memory_bytes)', ''],
    ['process_memory_bytes / 1024', ''],
    ['rate(eventbus_errors_total[5m])', '1/s'],
    ['sum by (host) (process_memory_bytes)', 'bytes'],
    ['1 + 1', ''],
  ])('%s is in %j', (query, unit) => {
    expect(unitOf(query, metadata)).toBe(unit);
  });
});
