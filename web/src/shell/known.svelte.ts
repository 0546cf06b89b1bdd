import type { Agent } from '$lib/api/types';
import { addressOf } from '$lib/query/address';
import { term } from '$lib/query/edit';
import { general, ofHost, type Question } from '$lib/query/questions';
import { router } from '$lib/router/router.svelte';
import { agentKey, agents } from '$lib/stores/agents.svelte';
import { preferences } from '$lib/stores/preferences.svelte';
import { session } from '$lib/stores/session.svelte';
import { theme } from '$lib/stores/theme.svelte';
import type { IconName } from '$lib/ui/Icon.svelte';
import { startable, stoppable } from '$lib/ui/status';
import { routesFor } from '../routes';
import { type Entry, hostsOf } from './entries';
import { overlays } from './overlays.svelte';

/** What the palette knows of: pages, hosts, agents, and what can be done. */
export const eventsOf = (query: string) => router.go(router.link('/dashboard/events', { q: query }));

const toAgents = (extra: Record<string, string>) => router.go(router.link('/dashboard/agents', extra));

function action(title: string, icon: IconName, run: () => void, note = ''): Entry {
  return { group: 'Action', title, note, icon, run };
}

export const fixed = (): Entry[] => [
  ...routesFor((role) => session.may(role)).map(
    (route): Entry => ({
      group: 'Page',
      title: route.title,
      note: `g ${route.key}`,
      icon: route.icon,
      run: () => router.go(router.link(route.path)),
    }),
  ),
  action('Switch theme', 'moon', () => theme.cycle(), 'system, dark, light'),
  action('Show times in UTC', 'clock', () => preferences.showTimes('utc')),
  action('Show local times', 'clock', () => preferences.showTimes('local')),
  action('Show relative times', 'clock', () => preferences.showTimes('relative')),
  action('List of keys', 'keyboard', () => overlays.show('keys'), '?'),
  action('Change password', 'user', () => overlays.show('password')),
  action('Sign out', 'exit', () => void session.logout()),
  ...general.map(asked),
];

/** A question, as one asks it of any page. */
function asked(question: Question): Entry {
  const run = () => router.go(addressOf(question));
  return { group: 'Question', title: question.title, note: '', icon: 'help', run };
}

export function hosts(list: readonly Agent[]): Entry[] {
  return hostsOf(list).flatMap((host): Entry[] => [
    {
      group: 'Host',
      title: host,
      note: 'its events',
      icon: 'system',
      run: () => eventsOf(term('host', host)),
    },
    ...ofHost(host).slice(0, 2).map(asked),
  ]);
}

/** An agent, and what this person may do with it in its present state. */
export function ofAgent(agent: Agent): Entry[] {
  const key = agentKey(agent);
  const name = `${agent.id} on ${agent.host}`;
  const entries: Entry[] = [
    { group: 'Agent', title: name, note: agent.state, icon: 'agents', run: () => toAgents({ agent: key }) },
    action(`Logs of ${name}`, 'logs', () => toAgents({ agent: key, tab: 'logs' })),
  ];
  if (!session.may('admin')) return entries;
  if (startable.includes(agent.state)) {
    entries.push(action(`Start ${name}`, 'play', () => void agents.command(agent, 'start'), agent.state));
  }
  if (stoppable.includes(agent.state)) {
    entries.push(
      action(`Stop ${name}`, 'stop', () => toAgents({ agent: key, ask: 'stop' }), 'asks first'),
      action(`Restart ${name}`, 'restart', () => void agents.command(agent, 'restart')),
    );
  }
  return entries;
}
