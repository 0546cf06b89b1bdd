import { instant } from '../format/time';
import { clock } from '../stores/clock.svelte';
import { now, serverClock } from '../time/now';
import { Connection, type Socket, type Status, unconnected } from './connection';
import type { Topic, TopicMessage } from './protocol';

/** A break shorter than this is not worth a word that comes and goes, in milliseconds. */
const worthSaying = 2000;

/** The live connection of this tab, as pages see it. */
class Live {
  status = $state.raw<Status>(unconnected);
  /** Since when what is shown is not live any more, in milliseconds since 1970; null while it is. */
  brokenSince = $derived(this.status.brokenSince ?? instant(this.status.hubLostSince));
  /** The same, once it is worth saying: what is shown then is what was, and nothing is green. */
  staleSince = $derived(
    this.brokenSince !== null && clock.now - this.brokenSince > worthSaying ? this.brokenSince : null,
  );
  #connection: Connection;
  #checkSession: () => void = () => {};
  #recovered = new Set<() => void>();

  constructor() {
    this.#connection = new Connection({
      open: () => {
        const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
        return new WebSocket(`${scheme}://${location.host}/api/live`) as unknown as Socket;
      },
      changed: (status) => {
        const broken = isBroken(this.status);
        this.status = status;
        // The page's clock may be a second old, and is looked at now.
        if (broken !== isBroken(status)) clock.now = now();
        if (broken && status.state === 'open' && !isBroken(status))
          for (const again of this.#recovered) again();
      },
      told: (time, ago) => serverClock.heard(time, performance.now() - ago),
      failed: () => this.#checkSession(),
    });
  }

  /** Follows the tab's visibility and the network; called once by the shell. */
  start(checkSession: () => void): () => void {
    this.#checkSession = checkSession;
    const visibility = () => {
      if (document.hidden) this.#connection.pause();
      else this.#connection.resume();
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

  /** Calls `again` each time that dashboard and hub are back, to ask for what failed or is missing. */
  onRecovered(again: () => void): () => void {
    this.#recovered.add(again);
    return () => this.#recovered.delete(again);
  }

  retryNow(): void {
    this.#connection.resume();
  }
}

const isBroken = (status: Status) => status.brokenSince !== null || status.hubLostSince !== null;

export const live = new Live();
