import { api } from '$lib/api/endpoints';
import type { Agent, AgentTask } from '$lib/api/types';
import { TaskRun } from '$lib/stores/taskrun.svelte';

/** The agent that scans, and what it is asked. */
export const scannerId = 'device_scanner';
export const scanTask = 'device_scan';

/** The scanners there are, those that run first. */
export function scanners(list: readonly Agent[]): Agent[] {
  const runs = (agent: Agent) => Number(agent.state === 'running' || agent.state === 'degraded');
  return list
    .filter((agent) => agent.id === scannerId || agent.kind === 'scanner')
    .sort((a, b) => runs(b) - runs(a) || a.host.localeCompare(b.host));
}

/** The parameter of the task that says what is scanned. */
export function targetOf(task: Pick<AgentTask, 'parameters'>): AgentTask['parameters'][number] | undefined {
  return (
    task.parameters.find(({ name }) => /target|subnet/.test(name)) ??
    task.parameters.find(({ required }) => required)
  );
}

/** The scan of this tab: it goes on while one looks at other pages, and ends with the tab. */
class Scan {
  run = new TaskRun();
  /** How many scans have come to their end: lists are asked for anew then. */
  ended = $state(0);
  /** When it began, in milliseconds, and of what. */
  startedAt = $state(0);
  target = $state('');

  async start(agent: Agent, target: string, parameters: Record<string, string>, now: number): Promise<void> {
    if (this.run.running) return;
    [this.startedAt, this.target] = [now, target];
    await this.run.start(agent.id, agent.host, scanTask, parameters);
    this.ended += 1;
  }

  async task(agent: Agent, signal: AbortSignal): Promise<AgentTask | undefined> {
    const { tasks } = await api.agentTasks(agent.id, agent.host, signal);
    return tasks.find((task) => task.name === scanTask);
  }
}

export const scan = new Scan();
