import { explain } from '../api/client';
import { type AgentAction, api } from '../api/endpoints';
import type { Agent, AgentState, AgentsStatus } from '../api/types';
import { live } from '../live/live.svelte';
import { pace } from '../live/pace';
import type { TopicMessage } from '../live/protocol';
import { Loadable } from './loadable.svelte';
import { notices } from './notices.svelte';

export const agentKey = (agent: { host: string; id: string }) => `${agent.host}/${agent.id}`;

const expected: Record<AgentAction, AgentState> = {
  start: 'starting',
  stop: 'stopping',
  restart: 'starting',
};
const done: Record<AgentAction, string> = { start: 'started', stop: 'stopped', restart: 'restarted' };
const historyLength = 40;
/** With more agents than this, sparklines begin empty: their history would weigh too much. */
const mostWithHistory = 200;

/** All agents there are, by host and id, kept up to date by deltas. */
class Agents {
  loaded = new Loadable<AgentsStatus>();
  list = $state.raw<Agent[]>([]);
  /** What was asked of an agent and is not answered yet. */
  pending = $state.raw<ReadonlyMap<string, AgentAction>>(new Map());
  /** The last rates of each agent that this tab has seen. */
  rates = new Map<string, number[]>();
  #known = new Map<string, Agent>();
  #publish = pace(() => this.#show(), 200);
  #users = 0;
  #stop: () => void = () => {};

  /** Follows all agents while anybody uses them. */
  start(): () => void {
    this.#users += 1;
    if (this.#users === 1) {
      void this.load();
      this.#stop = live.subscribe({ topic: 'agents' }, (message) => this.#receive(message));
    }
    return () => {
      this.#users -= 1;
      if (this.#users === 0) this.#stop();
    };
  }

  async load(): Promise<void> {
    const answer = await this.loaded.load((signal) => api.agents(signal));
    if (!answer) return;
    this.#replace(answer.agents);
    this.#show();
    if (answer.agents.length <= mostWithHistory) await this.#loadRates();
  }

  /** Lets sparklines begin with the last minutes instead of with nothing. */
  async #loadRates(): Promise<void> {
    const names = 'agent_events_per_second';
    const answer = await api.series({ names, since: '5m', step: '10s' }).catch(() => null);
    for (const { labels, values } of answer?.series ?? []) {
      const key = `${labels.host}/${labels.agent}`;
      const seen = this.rates.get(key);
      if (!seen || seen.length >= historyLength) continue;
      const past = values.map((value) => value ?? 0).slice(0, -1);
      this.rates.set(key, [...past, ...seen].slice(-historyLength));
    }
    this.#show();
  }

  find(key: string): Agent | undefined {
    return this.list.find((agent) => agentKey(agent) === key);
  }

  /** Does it, showing at once what is expected; a failure is rolled back and told. */
  async command(agent: Agent, action: AgentAction): Promise<void> {
    const key = agentKey(agent);
    if (this.pending.has(key)) return;
    this.pending = new Map(this.pending).set(key, action);
    this.#show();
    try {
      const answer = await api.commandAgent(agent.id, agent.host, action);
      if (answer.agent) this.#keep(answer.agent);
      notices.tell(`${agent.id} on ${agent.host} ${done[action]}`);
    } catch (error) {
      notices.fail(`Could not ${action} ${agent.id} on ${agent.host}: ${explain(error)}`);
    } finally {
      const pending = new Map(this.pending);
      pending.delete(key);
      this.pending = pending;
      this.#show();
    }
  }

  #receive(message: TopicMessage): void {
    if (message.type !== 'agents') return;
    if (message.snapshot) this.#replace(message.agents);
    else for (const agent of message.agents ?? []) this.#keep(agent);
    for (const key of message.removed) {
      this.#known.delete(key);
      this.rates.delete(key);
    }
    this.loaded.error = null;
    this.#publish();
  }

  #replace(agents: readonly Agent[]): void {
    this.#known = new Map();
    for (const agent of agents) this.#keep(agent);
  }

  #keep(agent: Agent): void {
    const key = agentKey(agent);
    this.#known.set(key, agent);
    const rates = this.rates.get(key) ?? [];
    rates.push(agent.events_per_second);
    if (rates.length > historyLength) rates.shift();
    this.rates.set(key, rates);
  }

  #show(): void {
    this.list = [...this.#known.values()].map((agent) => {
      const action = this.pending.get(agentKey(agent));
      return action ? { ...agent, state: expected[action] } : agent;
    });
  }
}

export const agents = new Agents();
