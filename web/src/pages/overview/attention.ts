import type { OverviewStatus, Trouble } from '$lib/api/types';
import { ago, instant } from '$lib/format/time';
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

const storage = { path: '/dashboard/settings', extra: {}, link: 'Storage' };
const storeTroubles: Record<string, string> = {
  loading: 'The store is still being filled from the log: searches do not find everything yet',
  behind: 'The store is behind the log: searches do not find the newest events yet',
};

const forgotten = 'If it is gone for good, forget it there';

/** One host or agent that is in trouble, by name, with the way to it. */
function concernOf(trouble: Trouble, now: number): Concern {
  const { kind, host, agent, health, state, detail } = trouble;
  const tone = health === 'red' ? 'critical' : 'warning';
  const since = instant(trouble.since);
  const when = since === null ? '' : ago(since, now);
  const path = '/dashboard/agents';
  if (kind === 'host') {
    const what = state === 'silent' ? 'is silent' : 'is not connected';
    return {
      tone,
      text: `Host ${host} ${what}: last seen ${when}. ${state === 'silent' ? forgotten : ''}`.trim(),
      link: 'Show it',
      path,
      extra: { q: host },
    };
  }
  const name = `${agent} on ${host}`;
  const why = detail ? `: ${detail}` : '';
  if (kind === 'crash')
    return {
      tone: 'warning',
      text: `${name} crashed ${when} and runs again${why}`,
      link: 'Its log',
      path,
      extra: { agent: `${host}/${agent}`, tab: 'logs' },
    };
  const word = health === 'red' ? (state === 'crashed' ? 'has crashed' : 'is not running') : 'is unwell';
  return { tone, text: `${name} ${word}${why}`, link: 'Show it', path, extra: { agent: `${host}/${agent}` } };
}

/** What is wrong now, worst first; empty when all is well. */
export function concerns(status: OverviewStatus, now: number): Concern[] {
  const { agents, nodes, log, store } = status;
  const list = status.troubles.map((trouble) => concernOf(trouble, now));
  const more =
    agents.red +
    agents.yellow +
    nodes.silent +
    nodes.away -
    status.troubles.filter((each) => each.kind !== 'crash').length;
  if (more > 0)
    list.push({
      tone: agents.red + nodes.silent > list.length ? 'critical' : 'warning',
      text: `${count(more)} more hosts and agents are in trouble`,
      link: 'Show them',
      path: '/dashboard/agents',
      extra: {},
    });
  const logTone = toneOf(log.state);
  if (logTone === 'critical' || logTone === 'warning') {
    list.push({
      tone: logTone,
      text: `The log is ${log.state}${log.reason ? `: ${log.reason}` : ''} (${bytes(log.free_bytes)} free)`,
      ...health,
    });
  }
  const storeTone = toneOf(store.state);
  if (status.store_away) {
    const text = `The store is away: searches, findings and the lists below wait for it. ${status.store_away}`;
    list.push({ tone: 'warning', text, ...storage });
  } else if (storeTone === 'critical' || storeTone === 'warning') {
    const said = storeTroubles[store.state] ?? `The store is ${store.state}`;
    list.push({ tone: storeTone, text: store.reason ? `${said}: ${store.reason}` : said, ...storage });
  }
  for (const reader of status.subscribers) {
    const gone = reader.state === 'stopped';
    // A place that nobody reads from costs nothing, unless the log keeps events for it.
    if (reader.lag_events < lagWorthSaying || (gone && !reader.hold)) continue;
    const events = count(reader.lag_events);
    list.push({
      tone: 'warning',
      text: gone
        ? `Nobody reads as ${reader.name}, and the log keeps ${events} events for it: amoskys wal cursors remove ${reader.name}`
        : `${readerName(reader.name)} is ${events} events behind the log`,
      ...health,
    });
  }
  const tone = toneOf(status.status.state);
  for (const reason of status.status.reasons) {
    // That the hub is unreachable, and why, stands above every page.
    if (
      tone === 'ok' ||
      status.status.state === 'unreachable' ||
      list.some((concern) => concern.text.includes(reason))
    )
      continue;
    list.push({ tone, text: reason, ...health });
  }
  const rank = (concern: Concern) => (concern.tone === 'critical' ? 0 : 1);
  return list.sort((a, b) => rank(a) - rank(b));
}

/** What readers of the store are, by the last part of their cursor's name: store@HOST@metrics. */
const parts: Record<string, string> = {
  devices: 'The inventory of devices',
  metrics: 'The database of metrics',
};

function readerName(name: string): string {
  const [, host, part] = /^store@(.+)@(\w+)$/.exec(name) ?? [];
  const what = parts[part ?? ''];
  return what ? `${what} on ${host}` : name;
}
