/** Runs something once what stands now is on the screen and the browser rests. Returns what drops it. */
export function afterPaint(work: () => void): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const frame = requestAnimationFrame(() => {
    timer = setTimeout(work, 30);
  });
  return () => {
    cancelAnimationFrame(frame);
    clearTimeout(timer);
  };
}
