import type { Agent } from '$lib/api/types';
import { ago, instant } from '$lib/format/time';

/** How long a crash is shown beside an agent that runs again, in milliseconds. */
const worthSaying = 3_600_000;

/** That an agent crashed a while ago and runs again; null when it did not, or it has not yet started again. */
export function crash(agent: Agent, now: number): string | null {
  const at = instant(agent.last_exit_at);
  if (at === null || agent.health === 'red' || now - at > worthSaying) return null;
  const times = agent.restarts === 1 ? '1 restart' : `${agent.restarts} restarts`;
  return `Crashed ${ago(at, now)} and runs again (${times}): ${agent.last_exit}. Its log says more`;
}
