import { explain } from '../api/client';
import { type AgentAction, api } from '../api/endpoints';
import { prometheus } from '../api/prometheus';
import type { Agent, AgentState, AgentsStatus, Node } from '../api/types';
import { live } from '../live/live.svelte';
import { pace } from '../live/pace';
import type { TopicMessage } from '../live/protocol';
import { numberOf } from '../promql/results';
import { now } from '../time/now';
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
  loaded = new Loadable<AgentsStatus>(() => this.load());
  list = $state.raw<Agent[]>([]);
  /** The nodes of all hosts, also of those that are gone, by host. */
  nodes = $state.raw<ReadonlyMap<string, Node>>(new Map());
  /** What was asked of an agent and is not answered yet. */
  pending = $state.raw<ReadonlyMap<string, AgentAction>>(new Map());
  /** The last rates of each agent that this tab has seen. */
  rates = new Map<string, number[]>();
  #known = new Map<string, Agent>();
  #nodes = new Map<string, Node>();
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
    this.#replace(answer.agents, answer.nodes);
    this.#show();
    if (answer.agents.length <= mostWithHistory) await this.#loadRates();
  }

  /**
   * Lets sparklines begin with the last minutes instead of with nothing: with what agents say
   * that they sent, which is what the rates are of that come then. Of events, the store has
   * not all readings.
   */
  async #loadRates(): Promise<void> {
    const query = 'sum by (agent, host) (rate(amoskys_agent_events_total[90s]))';
    const end = Math.floor(now() / 10_000) * 10;
    const answer = await prometheus.range({ query, start: end - 300, end, step: 10 }).catch(() => null);
    if (answer?.data.resultType !== 'matrix') return;
    for (const { metric, values } of answer.data.result) {
      const key = `${metric.host}/${metric.agent}`;
      const seen = this.rates.get(key);
      if (!seen || seen.length >= historyLength) continue;
      const past = (values ?? []).map(([, text]) => numberOf(text) ?? 0);
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

  /** Takes a host that is gone, and its agents, off the list. */
  async forget(host: string): Promise<void> {
    try {
      const { agents } = await api.forgetHost(host);
      for (const [key, agent] of this.#known) if (agent.host === host) this.#known.delete(key);
      this.#nodes.delete(host);
      this.#show();
      notices.tell(`${host} is forgotten, with ${agents} ${agents === 1 ? 'agent' : 'agents'}`);
    } catch (error) {
      notices.fail(`Could not forget ${host}: ${explain(error)}`);
    }
  }

  #receive(message: TopicMessage): void {
    if (message.type !== 'agents') return;
    if (message.snapshot) this.#replace(message.agents, message.nodes);
    else {
      for (const agent of message.agents) this.#keep(agent);
      for (const node of message.nodes) this.#nodes.set(node.host, node);
    }
    for (const host of message.removed_nodes) this.#nodes.delete(host);
    for (const key of message.removed) {
      this.#known.delete(key);
      this.rates.delete(key);
    }
    this.loaded.error = null;
    this.#publish();
  }

  #replace(agents: readonly Agent[], nodes: readonly Node[]): void {
    this.#known = new Map();
    this.#nodes = new Map(nodes.map((node) => [node.host, node]));
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
    this.nodes = new Map(this.#nodes);
    this.list = [...this.#known.values()].map((agent) => {
      const action = this.pending.get(agentKey(agent));
      return action ? { ...agent, state: expected[action] } : agent;
    });
  }
}

export const agents = new Agents();
