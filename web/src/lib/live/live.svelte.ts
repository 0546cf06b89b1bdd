import { Connection, type Socket, type Status } from './connection';
import type { Topic, TopicMessage } from './protocol';

/** The live connection of this tab, as pages see it. */
class Live {
  status = $state.raw<Status>({ state: 'connecting', brokenSince: null, retryAt: null, hubLostSince: null });
  /** How often the connection came back; pages reload what a stream cannot catch up. */
  pausedFor = $state(0);
  #connection: Connection;
  #checkSession: () => void = () => {};
  #hiddenAt = 0;

  constructor() {
    this.#connection = new Connection({
      open: () => {
        const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
        return new WebSocket(`${scheme}://${location.host}/api/live`) as unknown as Socket;
      },
      changed: (status) => {
        this.status = status;
      },
      failed: () => this.#checkSession(),
    });
  }

  /** Follows the tab's visibility and the network; called once by the shell. */
  start(checkSession: () => void): () => void {
    this.#checkSession = checkSession;
    const visibility = () => {
      if (document.hidden) {
        this.#hiddenAt = Date.now();
        this.#connection.pause();
      } else {
        this.pausedFor = this.#hiddenAt ? Date.now() - this.#hiddenAt : 0;
        this.#connection.resume();
      }
    };
    const online = () => this.#connection.resume();
    document.addEventListener('visibilitychange', visibility);
    window.addEventListener('online', online);
    this.#connection.resume();
    return () => {
      document.removeEventListener('visibilitychange', visibility);
      window.removeEventListener('online', online);
      this.#connection.close();
    };
  }

  subscribe(topic: Topic, receive: (message: TopicMessage) => void): () => void {
    return this.#connection.subscribe(topic, receive);
  }

  retryNow(): void {
    this.#connection.resume();
  }
}

export const live = new Live();
