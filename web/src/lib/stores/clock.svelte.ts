import { now } from '../time/now';

/** The server's time, which relative times are shown against; ticks once a second while the tab is seen. */
class Clock {
  now = $state(now());

  start(): () => void {
    const timer = setInterval(() => {
      if (!document.hidden) this.now = now();
    }, 1000);
    return () => clearInterval(timer);
  }
}

export const clock = new Clock();
