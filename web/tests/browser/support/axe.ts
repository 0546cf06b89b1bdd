import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Page } from 'playwright-core';
import { picture, type Scheme, shot } from './browser';

const axePath = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const standards = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
/** Rules of colours, sizes and places: all else is the same in both themes. */
const sight = ['color-contrast', 'link-in-text-block', 'target-size', 'scrollable-region-focusable'];

interface AxeResult {
  violations: { id: string; help: string; nodes: { html: string; failureSummary?: string }[] }[];
}

/** What axe finds wrong by WCAG 2.2 AA and its best practices, one line each. */
export async function axe(page: Page, rules: 'all' | 'sight' = 'all'): Promise<string[]> {
  // By the debugger, which no content security policy of the page hinders.
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(readFileSync(axePath, 'utf8'));
  const result = await page.evaluate(
    async (runOnly) => {
      const { axe: checker } = window as unknown as { axe: { run: (options: object) => Promise<unknown> } };
      return (await checker.run({ runOnly, resultTypes: ['violations'] })) as unknown;
    },
    rules === 'all' ? { type: 'tag', values: standards } : { type: 'rule', values: sight },
  );
  return (result as AxeResult).violations.flatMap((violation) =>
    violation.nodes.map(
      (node) => `${violation.id}: ${node.html.slice(0, 160)} — ${node.failureSummary ?? violation.help}`,
    ),
  );
}

interface Sight {
  width: number;
  height: number;
  scheme: Scheme;
  rules: 'all' | 'sight';
}

/**
 * How a page is looked at. One that was loaded wide is looked at on the widest
 * screen and on a common one, one that was loaded narrow stays so: pages choose by
 * their width at the start what they show. Each is seen in both themes; what a
 * page is made of does not change with the theme and is looked at once.
 */
const sights: Record<'wide' | 'narrow', Sight[]> = {
  wide: [
    { width: 1280, height: 800, scheme: 'light', rules: 'sight' },
    { width: 2560, height: 1440, scheme: 'dark', rules: 'all' },
  ],
  narrow: [
    { width: 360, height: 740, scheme: 'dark', rules: 'sight' },
    { width: 360, height: 740, scheme: 'light', rules: 'all' },
  ],
};

/** The view in which a page is loaded that look is to see wide or narrow. */
export const viewOf = (which: 'wide' | 'narrow'): Sight => sights[which][0] as Sight;

/**
 * Looks at a page in both themes, wide or narrow, and returns what axe finds and
 * what is wider than the window, by the name of the picture that shows it.
 */
export async function look(
  page: Page,
  name: string,
  which: 'wide' | 'narrow',
): Promise<Record<string, string[]>> {
  const found: Record<string, string[]> = {};
  for (const { width, height, scheme, rules } of sights[which]) {
    await page.setViewportSize({ width, height });
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
    const faults = await axe(page, rules);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    if (wide > width) faults.push(`is ${wide} px wide`);
    const seen = `${name}-${width}-${scheme}`;
    if (faults.length > 0) found[seen] = faults;
    await (faults.length > 0 ? picture : shot)(page, seen);
  }
  return found;
}
