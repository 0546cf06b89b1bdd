import type { Event } from '$lib/api/types';
import { term } from '$lib/query/edit';
import { textOf } from './columns';

export interface Pivot {
  label: string;
  query: string;
}

const subjects = [
  { field: 'process.entity_id', label: 'Its process' },
  { field: 'process.parent.entity_id', label: 'Its parent' },
  { field: 'network.community_id', label: 'Its flow' },
] as const;

/** Searches for more of the same subject. */
export function pivots(event: Event): Pivot[] {
  const list: Pivot[] = [];
  for (const { field, label } of subjects) {
    const value = textOf(event.fields?.[field]);
    if (!value) continue;
    const name = field === 'process.parent.entity_id' ? 'process.entity_id' : field;
    list.push({ label, query: term(name, value) });
  }
  if (event.host) list.push({ label: 'Its host', query: term('host', event.host) });
  return list;
}
