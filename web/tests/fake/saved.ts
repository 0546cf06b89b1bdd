import type { SavedQuery, SavedText } from '../../src/lib/api/types';
import { splitPipes } from '../../src/lib/query/tokens';
import { compile } from './query';
import { fakeUser } from './server';
import type { World } from './world';

/** Saved queries, as the hub keeps them. */
export function savedRoute(
  method: string,
  url: URL,
  body: string,
  world: World,
): { status: number; value?: unknown } {
  const id = Number(url.pathname.split('/')[3]);
  const text = body ? (JSON.parse(body) as SavedText) : null;
  if (method === 'GET')
    return { status: 200, value: { queries: shown(world, url.searchParams.get('kind') ?? 'events') } };
  const before = world.saved.find((each) => each.id === id);
  if (method !== 'POST' && !before)
    return { status: 404, value: 'there is no such saved query, or it is somebody else’s own' };
  if (method === 'DELETE') {
    world.saved = world.saved.filter((each) => each !== before);
    return { status: 204 };
  }
  if (!text) return { status: 400, value: 'a body is missing' };
  const kind = before?.kind ?? text.kind ?? 'events';
  if (kind === 'events') compile(splitPipes(text.query).filter);
  const same = (each: SavedQuery) =>
    each.id !== id && (each.kind ?? 'events') === kind && each.name.toLowerCase() === text.name.toLowerCase();
  if (world.saved.some(same))
    return {
      status: 409,
      value: `there is a saved query named "${text.name}" already: choose another name, or change that one`,
    };
  const at = new Date().toISOString();
  const kept: SavedQuery = {
    id: before?.id ?? world.saved.length + 100,
    owner: fakeUser.name,
    created_at: at,
    ...text,
    kind,
    mine: true,
    changed_at: at,
    changed_by: fakeUser.name,
  };
  world.saved = [...world.saved.filter((each) => each !== before), kept];
  return { status: 200, value: kept };
}

/** By name, with what is wrong with them by now. */
function shown(world: World, kind: string): SavedQuery[] {
  return world.saved
    .filter((each) => (each.kind ?? 'events') === kind)
    .sort((a, b) => a.name.localeCompare(b.name))
    .map((each) => {
      if (kind !== 'events') return each;
      try {
        compile(splitPipes(each.query).filter);
        return each;
      } catch (error) {
        return { ...each, fault: String(error) };
      }
    });
}
