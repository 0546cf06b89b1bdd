import { api } from '$lib/api/endpoints';
import type { Event } from '$lib/api/types';
import { instant } from '$lib/format/time';

/** Which packets are asked of an agent; see POST /api/packets. */
export interface PacketsWish {
  agent: string;
  host: string;
  community_id?: string;
  address?: string;
  peer?: string;
  since?: string;
  until?: string;
}

/** Packets are looked for so long before and after a flow, in milliseconds. */
const around = 5_000;
const at = (time: number) => new Date(time).toISOString();

/** Who may have packets of an event. */
export const keeper = (event: Event) => ({ agent: event.agent, host: event.observer || event.host });

/** The packets of a flow; null where nobody has captured any. */
export function packetsOfFlow(event: Event): PacketsWish | null {
  const own = instant(event.time);
  const fields = event.fields ?? {};
  const community = String(fields['network.community_id'] ?? '');
  if (own === null || !community || fields['network.exporter.ip']) return null;
  const begun = instant(String(fields['event.start'] ?? '')) ?? own;
  const wish = { ...keeper(event), community_id: community, since: at(begun - around) };
  return event.type === 'flow.ended' ? { ...wish, until: at(own + around) } : wish;
}

/** Answers of before are good for so long, in milliseconds. */
const rememberFor = 30_000;
const asked = new Map<string, { until: number; answer: Promise<string> }>();

/** Why an agent can save no packets, in words; empty where it can. */
export function whyNot(agent: string, host: string): Promise<string> {
  const key = `${host}/${agent}`;
  const known = asked.get(key);
  if (known && known.until > performance.now()) return known.answer;
  const answer = api.agentTasks(agent, host).then(
    ({ tasks }) => {
      const task = tasks.find(({ name }) => name === 'packets_save');
      return task ? task.unavailable : 'this agent keeps no packets';
    },
    (error: Error) => `it is not known whether the agent has packets: ${error.message}`,
  );
  asked.set(key, { until: performance.now() + rememberFor, answer });
  return answer;
}
