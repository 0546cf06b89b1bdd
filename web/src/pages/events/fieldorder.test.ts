import { expect, it } from 'vitest';
import { byImportance } from './fieldorder';

it('puts what happened before what is always the same', () => {
  const names = [
    'agent.version',
    'host.os.type',
    'process.entity_id',
    'process.args',
    'pid',
    'type',
    'process.command_line',
    'publisher',
    'zone',
    'severity',
    'process.name',
    'host',
  ];
  expect(names.sort(byImportance)).toEqual([
    'type',
    'severity',
    'host',
    'process.name',
    'process.command_line',
    'pid',
    'process.args',
    'zone',
    'agent.version',
    'host.os.type',
    'process.entity_id',
    'publisher',
  ]);
});
