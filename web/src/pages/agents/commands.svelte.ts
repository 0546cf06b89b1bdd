import type { AgentAction } from '$lib/api/endpoints';
import type { Agent } from '$lib/api/types';
import { count } from '$lib/format/units';
import { agents } from '$lib/stores/agents.svelte';
import { session } from '$lib/stores/session.svelte';

/** Asks before what stops data, and passes the rest on. */
class Commands {
  /** The agent whose stop waits for a yes. */
  asking = $state.raw<Agent | null>(null);

  /** The host whose forgetting waits for a yes. */
  forgetting = $state<string | null>(null);

  /** Why this person may not, or null. */
  get refusal(): string | null {
    return session.may('admin') ? null : `Needs the role admin; you are ${session.current?.user.role}`;
  }

  run(agent: Agent, action: AgentAction): void {
    if (this.refusal) return;
    if (action === 'stop') this.asking = agent;
    else void agents.command(agent, action);
  }

  forget(): void {
    const host = this.forgetting;
    this.forgetting = null;
    if (host) void agents.forget(host);
  }

  stop(): void {
    const agent = this.asking;
    this.asking = null;
    if (agent) void agents.command(agent, 'stop');
  }
}

export const commands = new Commands();

/** What a stop will do, in words. */
export function consequences(agent: Agent): string {
  const parts = [`Nothing more will be observed by it on ${agent.host} until it is started again.`];
  parts.push(
    agent.spool_events > 0
      ? `${count(agent.spool_events)} events in its spool are kept, and sent when it runs again.`
      : 'Everything it has sent is kept.',
  );
  return parts.join(' ');
}
