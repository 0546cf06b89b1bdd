/** Event types have their colours for good; other names get one by their hash. */
const fixed: Record<string, number> = {
  'process.execution': 1,
  'process.exit': 0,
  'process.sample': 2,
  'network.connection': 4,
  'flow.created': 3,
  'flow.ended': 5,
  'agent.health': 6,
  'hub.health': 7,
  other: 7,
  p50: 1,
  p99: 0,
  'p99.9': 5,
  'events waiting': 2,
};

const slots = 8;

function preferred(name: string): number {
  const own = fixed[name];
  if (own !== undefined) return own;
  let hash = 2166136261;
  for (let index = 0; index < name.length; index += 1) {
    hash = Math.imul(hash ^ name.charCodeAt(index), 16777619);
  }
  return (hash >>> 0) % slots;
}

/** What a name was given in this tab, for good: whatever is isolated, zoomed or gone. */
const bound = new Map<string, number>();

/** A slot for each name, the same each time, and distinct while a slot is free among them. */
export function colorSlots(names: readonly string[]): Map<string, number> {
  const chosen = new Map<string, number>();
  const taken = new Set<number>();
  const used = new Set<number>();
  for (const name of names) {
    const slot = bound.get(name) ?? fixed[name];
    if (slot !== undefined) taken.add(slot);
  }
  const ordered = [...names].sort(
    (a, b) => Number(fixed[b] !== undefined) - Number(fixed[a] !== undefined) || (a < b ? -1 : 1),
  );
  for (const name of ordered) {
    let slot = bound.get(name) ?? preferred(name);
    // Names that were given the same when they stood apart are told apart now.
    const clash = bound.has(name) ? used.has(slot) : taken.has(slot);
    for (let tries = 0; clash && fixed[name] === undefined && tries < slots && taken.has(slot); tries += 1) {
      slot = (slot + 1) % slots;
    }
    bound.set(name, slot);
    taken.add(slot);
    used.add(slot);
    chosen.set(name, slot);
  }
  return chosen;
}
