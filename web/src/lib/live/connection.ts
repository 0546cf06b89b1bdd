import { now } from '../time/now';
import type { ServerMessage, Topic, TopicMessage } from './protocol';

/** The part of a WebSocket that a Connection uses. */
export interface Socket {
  send(text: string): void;
  close(): void;
  onopen: (() => void) | null;
  onclose: (() => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
}

export interface Status {
  /** `paused`: the tab is hidden, so nothing is asked for. */
  state: 'connecting' | 'open' | 'broken' | 'paused';
  /** When live updates broke, as milliseconds since 1970; null while they flow. */
  brokenSince: number | null;
  /** When the next try starts. */
  retryAt: number | null;
  /** When the dashboard lost the hub; null while it has it. */
  hubLostSince: string | null;
  /** Why, and what to do. */
  hubReason: string;
  /** The script of the page that the server serves now; empty until it has said so. */
  page: string;
}

export const unconnected: Status = {
  state: 'connecting',
  brokenSince: null,
  retryAt: null,
  hubLostSince: null,
  hubReason: '',
  page: '',
};

export interface ConnectionOptions {
  open: () => Socket;
  changed: (status: Status) => void;
  /** Takes a time that the server told, and how many milliseconds ago it was asked. */
  told?: (time: string, ago: number) => void;
  now?: () => number;
  random?: () => number;
  /** Called after a failed try, to find out whether the session has ended. */
  failed?: () => void;
}

interface Subscription {
  topic: Topic;
  receive: (message: TopicMessage) => void;
}

const firstDelay = 500;
const longestDelay = 15_000;
/** A server that hangs is to be seen within five seconds; its connection is given up later. */
const pingEvery = 2_000;
const pongWithin = 2_500;
const givenUpAfter = 10_000;

/**
 * The one live connection of a tab. Subscriptions outlive breaks: after a
 * reconnect each is asked for again, events from where they were seen to, so
 * that nothing is missed or comes twice. It never stops trying:
 *
 *     open    | nothing comes for 2 s, no pong within 2.5 s | broken, still listening
 *     broken  | something comes on the old socket           | open again, as if nothing was
 *     broken  | the socket closes, or 10 s pass             | a new one is tried, with growing pauses
 *     any     | the tab is seen again, or the network is    | a new one is tried at once
 */
export class Connection {
  #options: ConnectionOptions;
  #socket: Socket | null = null;
  #subscriptions = new Map<string, Subscription>();
  #lastId = 0;
  #tries = 0;
  /** When the server was last asked for its time, by performance.now. */
  #asked = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #ping: ReturnType<typeof setTimeout> | undefined;
  /** Whether the socket takes messages. */
  #ready = false;
  /** When the server was last heard. */
  #heard = 0;
  #status: Status = unconnected;

  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  /** Asks for a topic until the returned function is called. */
  subscribe(topic: Topic, receive: (message: TopicMessage) => void): () => void {
    this.#lastId += 1;
    const id = String(this.#lastId);
    this.#subscriptions.set(id, { topic: { ...topic }, receive });
    if (this.#ready) this.#send({ op: 'subscribe', id, ...topic });
    else if (!this.#socket && this.#status.state === 'connecting') this.#connect();
    return () => {
      if (!this.#subscriptions.delete(id)) return;
      if (this.#ready) this.#send({ op: 'unsubscribe', id });
    };
  }

  /** Stops everything while the tab is hidden. */
  pause(): void {
    if (this.#status.state === 'paused') return;
    this.#drop();
    this.#update({ state: 'paused', retryAt: null });
  }

  /** Connects at once: after a pause, or because a person asked. */
  resume(): void {
    if (this.#status.state === 'open') return;
    this.#drop();
    this.#tries = 0;
    this.#connect();
  }

  /** Ends for good. */
  close(): void {
    this.#subscriptions.clear();
    this.#drop();
    this.#update({ state: 'paused', brokenSince: null, retryAt: null });
  }

  #connect(): void {
    this.#update({ state: 'connecting', retryAt: null });
    this.#asked = performance.now();
    const socket = this.#options.open();
    this.#socket = socket;
    socket.onopen = () => this.#opened();
    socket.onclose = () => this.#lost();
    socket.onmessage = (event) => this.#received(String(event.data));
  }

  #opened(): void {
    this.#tries = 0;
    this.#ready = true;
    this.#heard = this.#now();
    // A hub that is lost is told of at once.
    this.#update({ state: 'open', brokenSince: null, retryAt: null, hubLostSince: null, hubReason: '' });
    for (const [id, { topic }] of this.#subscriptions) this.#send({ op: 'subscribe', id, ...topic });
    this.#ping = setTimeout(() => this.#beat(), pingEvery);
  }

  #lost(): void {
    this.#drop();
    const now = this.#now();
    const delay = Math.min(longestDelay, firstDelay * 2 ** this.#tries) * (0.75 + this.#random() / 2);
    this.#tries += 1;
    this.#update({
      state: 'broken',
      brokenSince: this.#status.brokenSince ?? now,
      retryAt: now + delay,
    });
    this.#retry = setTimeout(() => this.#connect(), delay);
    this.#options.failed?.();
  }

  /** Finds a server that hangs, and a connection that died without a word. */
  #beat(): void {
    this.#asked = performance.now();
    this.#send({ op: 'ping' });
    this.#ping = setTimeout(() => this.#quiet(), pongWithin);
  }

  /** Nothing came in time: it may still. */
  #quiet(): void {
    this.#update({ state: 'broken', brokenSince: this.#heard, retryAt: null });
    this.#ping = setTimeout(() => this.#lost(), givenUpAfter);
  }

  #received(text: string): void {
    clearTimeout(this.#ping);
    this.#ping = setTimeout(() => this.#beat(), pingEvery);
    this.#heard = this.#now();
    if (this.#status.state === 'broken') this.#update({ state: 'open', brokenSince: null });
    const message = JSON.parse(text) as ServerMessage;
    if (message.type === 'hello' || message.type === 'pong') {
      this.#options.told?.(message.time, performance.now() - this.#asked);
      if (message.type === 'hello') this.#update({ page: message.page });
      return;
    }
    if (message.type === 'hub') {
      this.#update({ hubLostSince: message.connected ? null : message.since, hubReason: message.reason });
      return;
    }
    const subscription = this.#subscriptions.get(message.id);
    if (!subscription) return;
    const { topic } = subscription;
    if (topic.topic === 'events' && message.type === 'events' && message.next > 0) {
      topic.from = message.next;
    }
    subscription.receive(message);
  }

  #drop(): void {
    clearTimeout(this.#retry);
    clearTimeout(this.#ping);
    const socket = this.#socket;
    this.#socket = null;
    this.#ready = false;
    if (!socket) return;
    socket.onopen = null;
    socket.onclose = null;
    socket.onmessage = null;
    socket.close();
  }

  #send(message: object): void {
    this.#socket?.send(JSON.stringify(message));
  }

  #update(change: Partial<Status>): void {
    this.#status = { ...this.#status, ...change };
    this.#options.changed(this.#status);
  }

  #now(): number {
    return this.#options.now?.() ?? now();
  }

  #random(): number {
    return this.#options.random?.() ?? Math.random();
  }
}
