import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Connection, type Socket, type Status } from './connection';
import type { TopicMessage } from './protocol';

class FakeSocket implements Socket {
  sent: { op: string; id?: string; from?: number | null }[] = [];
  closed = false;
  onopen: (() => void) | null = null;
  onclose: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }
  close(): void {
    this.closed = true;
  }
  say(message: object): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }
}

let sockets: FakeSocket[];
let status: Status | null;
let told: [string, number][];
let connection: Connection;
const last = () => {
  const socket = sockets.at(-1);
  if (!socket) throw new Error('no socket was opened');
  return socket;
};

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 });
  sockets = [];
  status = null;
  told = [];
  connection = new Connection({
    open: () => {
      const socket = new FakeSocket();
      sockets.push(socket);
      return socket;
    },
    changed: (next) => {
      status = next;
    },
    now: () => Date.now(),
    told: (time, ago) => told.push([time, ago]),
    random: () => 0.5,
  });
});

afterEach(() => {
  connection.close();
  vi.useRealTimers();
});

describe('live connection', () => {
  it('asks for topics once it is open', () => {
    connection.subscribe({ topic: 'agents' }, () => {});
    expect(last().sent).toEqual([]);
    last().onopen?.();
    expect(last().sent).toEqual([{ op: 'subscribe', id: '1', topic: 'agents' }]);
    expect(status?.state).toBe('open');
  });

  it('resumes events from where they were seen to after a break', () => {
    const seen: TopicMessage[] = [];
    connection.subscribe({ topic: 'events', query: 'a', from: 11 }, (message) => seen.push(message));
    last().onopen?.();
    expect(last().sent.at(0)?.from).toBe(11);
    last().say({ id: '1', type: 'events', events: [], next: 21, tail: 20, shown: 0, of: 0 });
    last().onclose?.();
    expect(status).toMatchObject({ state: 'broken', brokenSince: 1_000_000, retryAt: 1_000_500 });
    vi.advanceTimersByTime(500);
    last().onopen?.();
    expect(sockets).toHaveLength(2);
    expect(last().sent.at(0)).toMatchObject({ id: '1', from: 21 });
    expect(status).toMatchObject({ state: 'open', brokenSince: null });
    expect(seen).toHaveLength(1);
  });

  it('backs off, to fifteen seconds at most, and remembers since when', () => {
    connection.subscribe({ topic: 'agents' }, () => {});
    const delays: number[] = [];
    for (let tries = 0; tries < 8; tries += 1) {
      last().onclose?.();
      delays.push((status?.retryAt ?? 0) - Date.now());
      vi.advanceTimersByTime(15_000);
    }
    expect(delays).toEqual([500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
    expect(status?.brokenSince).toBe(1_000_000);
  });

  it('sees a server that hangs within five seconds, and goes on with it when it answers', () => {
    const seen: TopicMessage[] = [];
    connection.subscribe({ topic: 'agents' }, (message) => seen.push(message));
    last().onopen?.();
    vi.advanceTimersByTime(2000);
    expect(last().sent.at(-1)).toEqual({ op: 'ping' });
    last().say({ type: 'pong', time: '' });
    const heard = Date.now();
    vi.advanceTimersByTime(4500);
    expect(status).toMatchObject({ state: 'broken', brokenSince: heard });
    expect(last().closed).toBe(false);
    connection.subscribe({ topic: 'overview' }, () => {});
    expect(last().sent.at(-1)).toMatchObject({ topic: 'overview' });
    last().say({
      id: '1',
      type: 'agents',
      snapshot: false,
      agents: [],
      removed: [],
      nodes: [],
      removed_nodes: [],
    });
    expect(status).toMatchObject({ state: 'open', brokenSince: null });
    expect(seen).toHaveLength(1);
    expect(sockets).toHaveLength(1);
  });

  it('gives up a connection that died without a word, and makes another', () => {
    connection.subscribe({ topic: 'agents' }, () => {});
    last().onopen?.();
    vi.advanceTimersByTime(4500 + 10_000);
    expect(last().closed).toBe(true);
    vi.advanceTimersByTime(500);
    expect(sockets).toHaveLength(2);
  });

  it('tries for ever', () => {
    connection.subscribe({ topic: 'agents' }, () => {});
    for (let tries = 0; tries < 500; tries += 1) {
      last().onclose?.();
      vi.advanceTimersByTime(15_000);
    }
    expect(sockets).toHaveLength(501);
    last().onopen?.();
    expect(status?.state).toBe('open');
  });

  it('hands on what time it is at the server, and how old that may be', () => {
    connection.subscribe({ topic: 'agents' }, () => {});
    vi.advanceTimersByTime(40);
    last().onopen?.();
    last().say({ type: 'hello', time: '2026-01-01T00:00:00Z', page: '' });
    vi.advanceTimersByTime(2000);
    vi.advanceTimersByTime(7);
    last().say({ type: 'pong', time: '2026-01-01T00:00:20Z' });
    expect(told).toEqual([
      ['2026-01-01T00:00:00Z', 40],
      ['2026-01-01T00:00:20Z', 7],
    ]);
  });

  it('says when the dashboard lost the hub', () => {
    connection.subscribe({ topic: 'agents' }, () => {});
    last().onopen?.();
    last().say({ type: 'hub', connected: false, since: '2026-01-01T00:00:00Z', reason: 'it hangs' });
    expect(status).toMatchObject({ hubLostSince: '2026-01-01T00:00:00Z', hubReason: 'it hangs' });
    last().say({ type: 'hub', connected: true, since: '2026-01-01T00:00:05Z', reason: '' });
    expect(status?.hubLostSince).toBeNull();
  });

  it('is silent while paused and subscribes again afterwards', () => {
    connection.subscribe({ topic: 'events', query: '', from: null }, () => {});
    last().onopen?.();
    last().say({ id: '1', type: 'events', events: [], next: 5, tail: 5, shown: 0, of: 0 });
    connection.pause();
    expect(last().closed).toBe(true);
    vi.advanceTimersByTime(60_000);
    expect(sockets).toHaveLength(1);
    connection.resume();
    last().onopen?.();
    expect(last().sent.at(0)?.from).toBe(5);
  });

  it('tells the server what is no longer wanted, and ignores its stragglers', () => {
    const receive = vi.fn();
    const stop = connection.subscribe({ topic: 'agents' }, receive);
    last().onopen?.();
    stop();
    stop();
    expect(last().sent.slice(1)).toEqual([{ op: 'unsubscribe', id: '1' }]);
    last().say({ id: '1', type: 'agents', snapshot: true, agents: [], removed: [] });
    expect(receive).not.toHaveBeenCalled();
  });
});
