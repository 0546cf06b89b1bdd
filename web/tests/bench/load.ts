import type { Browser, BrowserContext, CDPSession } from 'playwright-core';
import type { Program } from '../browser/support/program';

type Cookies = Awaited<ReturnType<BrowserContext['cookies']>>;

/** What one load of a page took, in milliseconds since its navigation began. */
export interface Load {
  /** First contentful paint. */
  paint: number;
  /** The first chart with points stands on the screen. */
  data: number;
  /** The last larger paint within the time that is watched. */
  largest: number;
  /** Layout shift, as browsers score it. */
  shift: number;
  /** What the main thread did until the data, slowed as it was; the rest until it is watched no more. */
  cpu: number;
  cpuAfter: number;
  requests: number;
  kilobytes: number;
}

/** How long a page is watched behind its data: late shifts and paints count too. */
const watched = 2000;

/** Runs in the page before anything of it does. */
function watch(): void {
  const seen = { data: 0, largest: 0, shift: 0 };
  Object.assign(window, { seen });
  const observe = (type: string, take: (entry: PerformanceEntry & { value?: number }) => void) =>
    new PerformanceObserver((list) => list.getEntries().forEach(take)).observe({ type, buffered: true });
  observe('largest-contentful-paint', (entry) => {
    seen.largest = entry.startTime;
  });
  observe('layout-shift', (entry) => {
    seen.shift += entry.value ?? 0;
  });
  // A chart's words say what it shows; it has points once they name a value.
  const found = new MutationObserver(() => {
    const chart = document.querySelector('.uplot');
    const words = chart?.closest('[role=img]')?.getAttribute('aria-label') ?? '';
    if (!chart || !/between/.test(words)) return;
    found.disconnect();
    // Behind the frame that draws it.
    requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => {
        seen.data = performance.now();
        (window as unknown as { chartShown: (text: string) => void }).chartShown('');
      };
      port2.postMessage(null);
    });
  });
  found.observe(document, { subtree: true, childList: true });
}

/** What the main thread has done so far, in milliseconds of its CPU time. */
async function worked(debug: CDPSession): Promise<number> {
  const { metrics } = await debug.send('Performance.getMetrics');
  return 1000 * (metrics.find((each) => each.name === 'TaskDuration')?.value ?? 0);
}

/** Loads a page with nothing cached, signed in, on a CPU slowed four times. */
export async function load(
  browser: Browser,
  program: Program,
  cookies: Cookies,
  path: string,
): Promise<Load> {
  const context = await browser.newContext({
    baseURL: program.address,
    viewport: { width: 1440, height: 900 },
    colorScheme: 'dark',
  });
  try {
    await context.addCookies(cookies);
    const page = await context.newPage();
    await page.addInitScript(watch);
    const debug = await context.newCDPSession(page);
    await debug.send('Performance.enable', { timeDomain: 'threadTicks' });
    await debug.send('Emulation.setCPUThrottlingRate', { rate: 4 });
    const shown = new Promise((done) => debug.once('Runtime.bindingCalled', done));
    await debug.send('Runtime.enable');
    await debug.send('Runtime.addBinding', { name: 'chartShown' });
    const before = await worked(debug);
    await page.goto(path, { waitUntil: 'commit' });
    await within(shown, 30_000, `a chart with points on ${path}`);
    const until = await worked(debug);
    await page.waitForTimeout(watched);
    const after = await worked(debug);
    const seen = await page.evaluate(() => {
      const entries = performance.getEntriesByType('resource') as PerformanceResourceTiming[];
      const navigation = performance.getEntriesByType('navigation') as PerformanceResourceTiming[];
      return {
        ...(window as unknown as { seen: { data: number; largest: number; shift: number } }).seen,
        paint: performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? Number.NaN,
        requests: entries.length + 1,
        kilobytes: [...navigation, ...entries].reduce((sum, each) => sum + each.transferSize, 0) / 1000,
      };
    });
    return { ...seen, cpu: until - before, cpuAfter: after - until };
  } finally {
    await context.close();
  }
}

async function within(done: Promise<unknown>, limit: number, what: string): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${limit / 1000} s for ${what}`)), limit);
  });
  await Promise.race([done, late]).finally(() => clearTimeout(timer));
}
