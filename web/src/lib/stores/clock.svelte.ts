/** The time that relative times are shown against; ticks once a second while the tab is seen. */
class Clock {
  now = $state(Date.now());

  start(): () => void {
    const timer = setInterval(() => {
      if (!document.hidden) this.now = Date.now();
    }, 1000);
    return () => clearInterval(timer);
  }
}

export const clock = new Clock();
