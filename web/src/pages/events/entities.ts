import type { Entity } from '$lib/api/types';

export interface Pivot {
  label: string;
  /** What the link leads to, by name. */
  title: string;
  query: string;
}

/** The roles that a person would follow, in this order, and what links are called. */
const labels: Readonly<Record<string, string>> = {
  process: 'Its process',
  parent: 'Its parent',
  flow: 'Its flow',
  user: 'Its user',
  device: 'Its device',
  source: 'Its source',
  destination: 'Its destination',
  host: 'Its host',
};

/** Searches for more of what an event names; a finding leads to all it points at. */
export function pivots(entities: readonly Entity[]): Pivot[] {
  const list: Pivot[] = [];
  for (const [role, label] of Object.entries(labels)) {
    const entity = entities.find((e) => e.role === role);
    if (entity && !list.some((p) => p.query === entity.query)) {
      list.push({ label, title: titleOf(entity), query: entity.query });
    }
  }
  for (const entity of entities.filter((e) => e.role === 'observable')) {
    list.push({ label: `The ${entity.kind}`, title: titleOf(entity), query: entity.query });
  }
  return list;
}

/** The process that an event is of, and who started it, by their ids for good. */
export function processOf(entities: readonly Entity[]): { uid: string; parent: string | null } | null {
  const idOf = (role: string) =>
    entities.find((e) => e.role === role && e.kind === 'process')?.key.slice('process:'.length) ?? null;
  const uid = idOf('process');
  return uid === null ? null : { uid, parent: idOf('parent') };
}

function titleOf(entity: Entity): string {
  return entity.name || entity.key.slice(entity.kind.length + 1);
}
