import type { OverviewStatus } from '$lib/api/types';
import { bytes, count } from '$lib/format/units';
import { type Tone, toneOf } from '$lib/ui/status';

/** Something a person should look at, and where its evidence is. */
export interface Concern {
  tone: Tone;
  text: string;
  link: string;
  path: string;
  extra: Record<string, string>;
}

const health = { path: '/dashboard/events', extra: { q: 'type:=hub.health' }, link: 'Hub health events' };
const lagWorthSaying = 10_000;

const storeTroubles: Record<string, string> = {
  loading: 'The store is still being filled from the log: searches do not find everything yet',
  sampled: 'Events came faster than the store could keep: searches find a sample of them',
};

/** What is wrong now, worst first; empty when all is well. */
export function concerns(status: OverviewStatus): Concern[] {
  const list: Concern[] = [];
  const { agents, log, store } = status;
  if (agents.red > 0) {
    list.push({
      tone: 'critical',
      text: `${count(agents.red)} ${agents.red === 1 ? 'agent is' : 'agents are'} not running`,
      link: 'Show them',
      path: '/dashboard/agents',
      extra: { health: 'red' },
    });
  }
  if (agents.yellow > 0) {
    list.push({
      tone: 'warning',
      text: `${count(agents.yellow)} ${agents.yellow === 1 ? 'agent runs and has' : 'agents run and have'} sent nothing for three intervals`,
      link: 'Show them',
      path: '/dashboard/agents',
      extra: { health: 'yellow' },
    });
  }
  const logTone = toneOf(log.state);
  if (logTone === 'critical' || logTone === 'warning') {
    list.push({
      tone: logTone,
      text: `The log is ${log.state}${log.reason ? `: ${log.reason}` : ''} (${bytes(log.free_bytes)} free)`,
      ...health,
    });
  }
  const storeTone = toneOf(store.state);
  if (storeTone === 'critical' || storeTone === 'warning') {
    list.push({
      tone: storeTone,
      text: storeTroubles[store.state] ?? `The store is ${store.state}`,
      ...health,
    });
  }
  for (const reader of status.subscribers) {
    if (reader.lag_events < lagWorthSaying) continue;
    list.push({
      tone: 'warning',
      text: `${reader.name} is ${count(reader.lag_events)} events behind the log`,
      ...health,
    });
  }
  const tone = toneOf(status.status.state);
  for (const reason of status.status.reasons) {
    if (tone === 'ok' || list.some((concern) => concern.text.includes(reason))) continue;
    list.push({ tone, text: reason, ...health });
  }
  const rank = (concern: Concern) => (concern.tone === 'critical' ? 0 : 1);
  return list.sort((a, b) => rank(a) - rank(b));
}
