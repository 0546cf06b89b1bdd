import { describe, expect, it } from 'vitest';
import { general, ofFlows, ofHost, ofProcess, topOf } from './questions';
import { splitPipes } from './tokens';

describe('questions', () => {
  it('are searches that begin with a filter', () => {
    for (const { title, query, page } of [
      ...general,
      ...ofFlows,
      ...ofHost('web 1'),
      ...ofProcess('u-1', 'u-0'),
    ]) {
      expect(title).toMatch(/\?$/);
      if (page !== 'metrics') expect(splitPipes(query).filter).not.toBe('');
    }
  });

  it('are asked of the metrics where they are of all readings', () => {
    const cpu = ofHost('web "1"').find(({ title }) => title.includes('CPU'));
    expect(cpu).toMatchObject({
      page: 'metrics',
      query: 'topk(20, process_cpu_percent{host="web \\"1\\""})',
    });
    expect(general.filter(({ query }) => query.includes('process.sample'))).toEqual([]);
  });

  it('name what they are of', () => {
    expect(ofHost('web 1')[0]?.query).toMatch(/^host:="web 1" -type:in\(/);
    expect(ofProcess('u-1', null)[0]?.query).toBe('process.entity_id:=u-1 type:=process.execution');
    expect(ofProcess('u-1', 'u-0')[0]?.query).toBe(
      '(process.entity_id:=u-1 OR process.entity_id:=u-0) type:=process.execution',
    );
  });

  it('count the values of what a query finds, and not of what it counted', () => {
    expect(topOf('', 'process.name')).toBe('* | top 10 by (process.name)');
    expect(topOf('host:=a | limit 3', 'type', 5)).toBe('host:=a | top 5 by (type)');
  });
});
