/**
 * Returns a function that asks for `work` to run soon, at most once in
 * `interval` milliseconds, however often it is called. Its `cancel` drops a
 * run that is due.
 */
export function pace(work: () => void, interval = 100): { (): void; cancel(): void } {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let last = Number.NEGATIVE_INFINITY;
  const ask = () => {
    if (timer !== undefined) return;
    timer = setTimeout(
      () => {
        timer = undefined;
        last = performance.now();
        work();
      },
      Math.max(0, last + interval - performance.now()),
    );
  };
  ask.cancel = () => {
    clearTimeout(timer);
    timer = undefined;
  };
  return ask;
}
