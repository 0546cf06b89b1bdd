import type {
  Agent,
  Event,
  Health,
  Node,
  OverviewStatus,
  SavedQuery,
  Trouble,
} from '../../src/lib/api/types';
import { makeAgents, makeEvent } from './data';
import { FakeDevices, makeScanner } from './devices';
import { calmStore, type FakeStore } from './store';

export interface WorldOptions {
  agents: number;
  eventsPerSecond: number;
  /** How many events lie in the past when it starts. */
  history: number;
  /** How many devices its scanner knows; without, there is no scanner. */
  devices?: number | undefined;
}

/** The made-up system behind the fake server. */
export class World {
  events: Event[] = [];
  agents: Agent[];
  logState = 'ok';
  /** The first events that are in the log, and no longer to be searched. */
  forgotten = 0;
  store: FakeStore = calmStore();
  saved: SavedQuery[] = [];
  /** Whether rules are evaluated. */
  rules = true;
  /** Where a Grafana is. */
  grafana = '';
  role: 'viewer' | 'analyst' | 'admin' = 'admin';
  /** The next commands to agents fail with this. */
  refuse: string | null = null;
  readonly options: WorldOptions;
  readonly started: number;
  readonly devices: FakeDevices;

  constructor(options: WorldOptions, now: number) {
    this.options = options;
    this.started = now;
    this.agents = makeAgents(options.agents, now);
    this.devices = new FakeDevices(options.devices ?? 0, now);
    if (options.devices !== undefined) this.agents.push(makeScanner(now));
    const gap = 1000 / Math.max(1, options.eventsPerSecond);
    for (let offset = 0; offset < options.history; offset += 1) {
      this.events.push(makeEvent(offset, now - (options.history - offset) * gap, options.agents / 2));
    }
  }

  /** Lets events happen up to now; returns the new ones. */
  advance(now: number, count: number): Event[] {
    const fresh = Array.from({ length: count }, (_, index) =>
      makeEvent(this.events.length + index, now, this.options.agents / 2),
    );
    this.events.push(...fresh);
    return fresh;
  }

  /** Agents report again. */
  beat(now: number): Agent[] {
    for (const agent of this.agents) {
      if (agent.health !== 'green') continue;
      agent.last_event_at = new Date(now).toISOString();
      agent.events_per_second = Math.max(
        0,
        Math.round((agent.events_per_second + Math.sin(now / 3000 + agent.pid) * 3) * 10) / 10,
      );
    }
    return this.agents.filter((agent) => agent.health === 'green').slice(0, 200);
  }

  command(id: string, host: string, action: string): Agent | null {
    const agent = this.agents.find((each) => each.id === id && each.host === host);
    if (!agent) return null;
    const stop = action === 'stop';
    Object.assign(agent, {
      state: stop ? 'stopped' : 'running',
      health: stop ? 'red' : 'green',
      detail: stop ? 'stopped by admin' : '',
      pid: stop ? 0 : agent.pid || 4711,
      events_per_second: stop ? 0 : 12,
    });
    return agent;
  }

  /** As the server: red agents, then yellow ones. */
  troubles(): Trouble[] {
    return ['red', 'yellow']
      .flatMap((health) => this.agents.filter((agent) => agent.health === health))
      .slice(0, 10)
      .map(({ host, id, health, state, detail }) => ({
        kind: 'agent',
        host,
        agent: id,
        health,
        state,
        detail,
        since: null,
        restarts: 0,
      }));
  }

  /** The nodes of all hosts, which are connected. */
  nodes(): Node[] {
    return [...new Set(this.agents.map((agent) => agent.host))].map((host) => ({
      id: host,
      host,
      connected: true,
      version: '0.1.0',
      state: 'connected',
      health: 'green',
      detail: '',
      last_seen_at: null,
      agents: this.agents.filter((agent) => agent.host === host).length,
    }));
  }

  #findings(): OverviewStatus['findings'] {
    const found = this.events.filter((event) => event.type.startsWith('finding.'));
    const severities: Record<string, number> = {};
    for (const { severity } of found) severities[severity] = (severities[severity] ?? 0) + 1;
    return { total: found.length, by_severity: severities, newest: found.slice(-5).reverse() };
  }

  /** One event like the newest, but for what is said. */
  happen(change: Partial<Event>): Event {
    const last = this.events.at(-1);
    if (!last) throw new Error('there is no event to change');
    const event = { ...last, offset: this.events.length, ...change };
    this.events.push(event);
    return event;
  }

  status(now: number): OverviewStatus {
    const count = (health: Health) => this.agents.filter((agent) => agent.health === health).length;
    const samples = this.events.slice(-400).filter((event) => event.type === 'process.sample');
    const byHost = new Map<string, number>();
    for (const event of this.events.slice(-1000)) byHost.set(event.host, (byHost.get(event.host) ?? 0) + 1);
    const sum = Math.min(1000, this.events.length);
    const hosts = new Set(this.agents.map((agent) => agent.host));
    return {
      as_of: new Date(now).toISOString(),
      nodes: { total: hosts.size, connected: hosts.size, reconnecting: 0, away: 0, silent: 0 },
      troubles: this.troubles(),
      status: {
        state: this.logState === 'ok' ? 'ok' : 'degraded',
        reasons: this.logState === 'ok' ? [] : ['no space left on device'],
        version: '0.1.0',
        uptime_seconds: 86_400 * 3 + (now - this.started) / 1000,
      },
      log: {
        state: this.logState,
        reason: this.logState === 'ok' ? '' : 'no space left on device',
        first_offset: 0,
        next_offset: this.events.length,
        bytes: this.events.length * 410,
        segments: 3,
        oldest_time: this.events[0]?.time ?? null,
        free_bytes: 213e9,
        quarantined: 0,
        losses: [],
        recovery: '',
      },
      store: {
        state: this.store.state === 'away' ? 'unreachable' : this.store.state,
        events: this.events.length,
        capacity: 200_000,
        oldest_time: this.events[0]?.time ?? null,
        next_offset: this.events.length,
        lag_events: this.store.lag,
        reason: this.store.reason,
      },
      store_away: this.store.state === 'away' ? this.store.reason : '',
      agents: {
        total: this.agents.length,
        green: count('green'),
        yellow: count('yellow'),
        red: count('red'),
        unknown: count('unknown'),
      },
      subscribers: [{ name: 'store', offset: this.events.length, lag_events: 0, state: 'ok', hold: false }],
      rate: {
        events_per_second: this.events.length === 0 ? 0 : this.options.eventsPerSecond,
        events_total: this.events.length,
        errors_total: 0,
        connections: this.agents.length + 1,
        queue_depth: 0.4,
      },
      latency_ms: { p50: 0.42, p99: 2.7, p999: 8.1 },
      findings: this.#findings(),
      top: {
        processes: samples
          .sort((a, b) => Number(b.fields.cpu) - Number(a.fields.cpu))
          .slice(0, 8)
          .map((event) => ({
            name: String(event.fields['process.name']),
            host: event.host,
            cpu_percent: Number(event.fields.cpu),
            rss_bytes: Number(event.fields.rss),
            pid: Number(event.fields.pid),
            uid: String(event.fields['process.entity_id']),
          })),
        hosts: [...byHost]
          .sort((a, b) => b[1] - a[1])
          .slice(0, 8)
          .map(([name, found]) => ({
            name,
            events_per_second: (found / sum) * this.options.eventsPerSecond,
          })),
        types: [],
      },
    };
  }
}
