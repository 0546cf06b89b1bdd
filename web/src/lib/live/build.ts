/** The script that this tab began with, whose name tells one build from another; empty in development. */
const running = () =>
  [...document.querySelectorAll<HTMLScriptElement>('script[type="module"]')]
    .map((script) => new URL(script.src, location.href).pathname)
    .find((path) => path.startsWith('/assets/')) ?? '';

/** Whether the server serves another build of the page than this tab runs. */
export function isOutdated(page: string): boolean {
  const mine = running();
  return mine !== '' && page !== '' && page !== mine;
}

/**
 * Reloads for code that could not be had, if that helps: the server answers, so this
 * tab is of an older build. Once a minute at most, so that it cannot go on for ever.
 */
export async function reloadForCode(): Promise<boolean> {
  const last = Number(sessionStorage.getItem('amoskys.reloaded') ?? '-Infinity');
  const here = performance.timeOrigin + performance.now();
  if (here - last < 60_000) return false;
  const answer = await fetch('/api/health', { cache: 'no-store' }).catch(() => null);
  if (!answer?.ok) return false;
  sessionStorage.setItem('amoskys.reloaded', String(here));
  location.reload();
  return true;
}
