import type { Agent, Health, Node } from '$lib/api/types';
import { instant } from '$lib/format/time';
import { agentKey } from '$lib/stores/agents.svelte';

/** A row of the list: a host, or one of its agents. */
export type Row =
  | { kind: 'host'; key: string; host: string; agents: Agent[]; node: Node | undefined; rate: number }
  | { kind: 'agent'; key: string; agent: Agent };

export interface Arrangement {
  filter: string;
  health: Health | 'all';
  /** A column's key, with "-" before it for the largest first. */
  sort: string;
  grouped: boolean;
}

type Comparable = string | number;

const healthRank: Record<Health, number> = { red: 0, yellow: 1, unknown: 2, green: 3 };

const values: Record<string, (agent: Agent) => Comparable> = {
  state: (agent) => healthRank[agent.health],
  id: (agent) => agent.id,
  kind: (agent) => agent.kind,
  version: (agent) => agent.version,
  last: (agent) => instant(agent.last_event_at) ?? 0,
  rate: (agent) => agent.events_per_second,
  cpu: (agent) => agent.cpu_percent,
  rss: (agent) => agent.rss_bytes,
  spool: (agent) => agent.spool_bytes,
  certificate: (agent) => instant(agent.certificate_ends_at) ?? 0,
  port: (agent) => agent.port,
  pid: (agent) => agent.pid,
};

/** The rows to show: filtered, sorted, and under their hosts where wished. A host without agents is a row too. */
export function arrange(
  agents: readonly Agent[],
  wish: Arrangement,
  nodes: ReadonlyMap<string, Node> = new Map(),
): Row[] {
  const words = wish.filter.toLowerCase().split(/\s+/).filter(Boolean);
  const chosen = agents.filter(
    (agent) => (wish.health === 'all' || agent.health === wish.health) && matches(agent, words),
  );
  const descending = wish.sort.startsWith('-');
  const value = values[wish.sort.replace(/^-/, '')] ?? ((agent: Agent) => agent.id);
  const direction = descending ? -1 : 1;
  chosen.sort(
    (a, b) => direction * compare(value(a), value(b)) || compare(a.host, b.host) || compare(a.id, b.id),
  );
  if (!wish.grouped) return chosen.map((agent) => ({ kind: 'agent', key: agentKey(agent), agent }));
  const bare = [...nodes.values()].filter(
    (node) =>
      (wish.health === 'all' || node.health === wish.health) &&
      words.every((word) => `${node.host} ${node.state} ${node.version}`.toLowerCase().includes(word)),
  );
  return underHosts(chosen, bare, nodes);
}

/** Hosts in order of name; those with something wrong come first. */
function underHosts(
  agents: readonly Agent[],
  bare: readonly Node[],
  nodes: ReadonlyMap<string, Node>,
): Row[] {
  const hosts = new Map<string, Agent[]>(bare.map((node) => [node.host, []]));
  for (const agent of agents) {
    const list = hosts.get(agent.host);
    if (list) list.push(agent);
    else hosts.set(agent.host, [agent]);
  }
  const ranked = [...hosts].map(([host, list]) => ({ host, list, rank: rankOf(list, nodes.get(host)) }));
  ranked.sort((a, b) => a.rank - b.rank || compare(a.host, b.host));
  return ranked.flatMap(({ host, list }): Row[] => [
    {
      kind: 'host',
      key: `${host}/`,
      host,
      agents: list,
      node: nodes.get(host),
      rate: list.reduce((sum, agent) => sum + agent.events_per_second, 0),
    },
    ...list.map((agent): Row => ({ kind: 'agent', key: agentKey(agent), agent })),
  ]);
}

function rankOf(agents: readonly Agent[], node: Node | undefined): number {
  if (node && node.health !== 'green') return node.health === 'red' ? -2 : -1;
  return agents.some((agent) => agent.health === 'red' || agent.health === 'yellow') ? 0 : 1;
}

function matches(agent: Agent, words: readonly string[]): boolean {
  if (words.length === 0) return true;
  const text =
    `${agent.host} ${agent.id} ${agent.kind} ${agent.state} ${agent.version} ${agent.detail}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

function compare(a: Comparable, b: Comparable): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export function countByHealth(agents: readonly Agent[]): Record<Health | 'all', number> {
  const counts = { all: agents.length, green: 0, yellow: 0, red: 0, unknown: 0 };
  for (const agent of agents) counts[agent.health] += 1;
  return counts;
}
