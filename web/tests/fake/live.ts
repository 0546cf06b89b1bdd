import type { WebSocket } from 'ws';
import type { Event } from '../../src/lib/api/types';
import type { Topic } from '../../src/lib/live/protocol';
import { compile, QueryFault } from './query';
import { seriesAt } from './search';
import type { World } from './world';

type Request = { op: string; id: string } & Topic;

interface Subscription {
  topic: Topic;
  test: (event: Event) => boolean;
  next: number;
  behind: boolean;
  /** What was told last, of topics that tell what is new alone. */
  told?: string;
}

const mostAtOnce = 200;
/** As at the server. */
const mostSubscriptions = 16;

/** One tab's live connection, as /api/live serves it. */
export class LiveClient {
  #subscriptions = new Map<string, Subscription>();
  #socket: WebSocket;
  #world: World;
  #beats = 0;

  constructor(socket: WebSocket, world: World, page: string) {
    this.#socket = socket;
    this.#world = world;
    this.#send({ type: 'hello', time: new Date().toISOString(), page });
    socket.on('message', (data) => this.#asked(JSON.parse(String(data)) as Request));
  }

  /** Called ten times a second. */
  tick(now: number): void {
    this.#beats += 1;
    for (const [id, subscription] of this.#subscriptions) {
      const { topic } = subscription.topic;
      if (topic === 'events') this.#events(id, subscription);
      else if (topic === 'agents' && this.#beats % 10 === 0)
        this.#send({
          id,
          type: 'agents',
          snapshot: false,
          agents: this.#world.beat(now),
          removed: [],
          nodes: [],
          removed_nodes: [],
        });
      else if (topic === 'devices' && this.#beats % 10 === 0) this.#devices(id, subscription);
      else if (topic === 'overview' && this.#beats % 20 === 0)
        this.#send({ id, type: 'overview', ...this.#world.status(now) });
      else if (subscription.topic.topic === 'series' && this.#beats % 10 === 0) {
        const rate = this.#world.options.eventsPerSecond;
        const points = subscription.topic.names.flatMap((name) => seriesAt(name, now / 1000, rate));
        this.#send({ id, type: 'series', time: new Date(now).toISOString(), points });
      }
    }
  }

  hub(connected: boolean, since: number): void {
    this.#send({
      type: 'hub',
      connected,
      since: new Date(since).toISOString(),
      reason: connected ? '' : 'the hub is connected and does not answer',
    });
  }

  close(): void {
    this.#socket.terminate();
  }

  #asked(request: Request): void {
    if (request.op === 'ping') this.#send({ type: 'pong', time: new Date().toISOString() });
    if (request.op === 'unsubscribe') this.#subscriptions.delete(request.id);
    if (request.op !== 'subscribe') return;
    if (this.#subscriptions.size >= mostSubscriptions) {
      const detail = `a connection may have ${mostSubscriptions} subscriptions`;
      this.#send({ id: request.id, type: 'error', detail });
      return;
    }
    try {
      const asked = request.topic === 'events' ? compile(request.query) : () => true;
      const without = request.topic === 'events' ? request.without : undefined;
      const test = (event: Event) => event.type !== without && asked(event);
      const from = request.topic === 'events' ? request.from : null;
      this.#subscriptions.set(request.id, {
        topic: request,
        test,
        next: from ?? this.#world.events.length,
        behind: from !== null,
      });
    } catch (error) {
      const position = error instanceof QueryFault ? error.position : undefined;
      this.#send({ id: request.id, type: 'error', detail: String(error), position });
      return;
    }
    if (request.topic === 'agents')
      this.#send({
        id: request.id,
        type: 'agents',
        snapshot: true,
        agents: this.#world.agents,
        removed: [],
        nodes: this.#world.nodes(),
        removed_nodes: [],
      });
  }

  #devices(id: string, subscription: Subscription): void {
    const now = this.#world.devices.live();
    const text = JSON.stringify(now);
    if (text === subscription.told) return;
    subscription.told = text;
    this.#send({ id, type: 'devices', ...now });
  }

  #events(id: string, subscription: Subscription): void {
    const end = this.#world.events.length;
    // Like the server: everything while it catches up, a sample of what comes then.
    const until = subscription.behind ? Math.min(end, subscription.next + mostAtOnce) : end;
    const fresh = this.#world.events.slice(subscription.next, until).filter(subscription.test);
    subscription.behind = subscription.behind && until < end;
    subscription.next = until;
    if (fresh.length === 0) return;
    const every = Math.ceil(fresh.length / mostAtOnce);
    const events = fresh.filter((_, index) => index % every === 0);
    this.#send({
      id,
      type: 'events',
      events,
      next: subscription.next,
      tail: end,
      shown: events.length,
      of: fresh.length,
    });
  }

  #send(message: object): void {
    if (this.#socket.readyState === 1) this.#socket.send(JSON.stringify(message));
  }
}
