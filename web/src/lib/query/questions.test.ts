import { describe, expect, it } from 'vitest';
import { general, ofHost, ofProcess, topOf } from './questions';
import { splitPipes } from './tokens';

describe('questions', () => {
  it('are searches that begin with a filter', () => {
    for (const { title, query } of [...general, ...ofHost('web 1'), ...ofProcess('u-1', 'u-0')]) {
      expect(title).toMatch(/\?$/);
      expect(splitPipes(query).filter).not.toBe('');
    }
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
