import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { axe, look, viewOf } from './support/axe';
import { hasChromium, need, openTab, type Scheme, shot } from './support/browser';
import { useFake } from './support/fake';

interface Look {
  name: string;
  path: string;
  /** What makes it look as wanted, once the page is there. */
  act?: (page: Page) => Promise<unknown>;
}

const looks: Look[] = [
  { name: 'overview', path: '/dashboard' },
  {
    name: 'overview-bottom',
    path: '/dashboard',
    act: (page) => page.locator('main#page').evaluate((main) => main.scrollTo(0, 9999)),
  },
  {
    name: 'overview-table',
    path: '/dashboard',
    act: (page) => page.getByRole('button', { name: /type: show as a table/ }).click(),
  },
  { name: 'agents', path: '/dashboard/agents' },
  { name: 'agents-facts', path: '/dashboard/agents?agent=web-01%2Fproc_agent' },
  { name: 'agents-log', path: '/dashboard/agents?agent=web-01%2Fproc_agent&tab=logs' },
  { name: 'agents-stop', path: '/dashboard/agents?agent=web-01%2Fproc_agent&ask=stop' },
  { name: 'events', path: '/dashboard/events' },
  { name: 'events-facets', path: '/dashboard/events', act: (page) => page.keyboard.press('f') },
  { name: 'events-fields', path: '/dashboard/events?q=type:%3Dprocess.sample', act: openRow },
  { name: 'events-raw', path: '/dashboard/events?q=type:%3Dprocess.sample&tab=raw', act: openRow },
  { name: 'events-around', path: '/dashboard/events?q=type:%3Dprocess.sample&tab=around', act: openRow },
  { name: 'events-wrong', path: '/dashboard/events?q=type:(oops' },
  { name: 'events-complete', path: '/dashboard/events?focus=1', act: (page) => page.keyboard.type('pro') },
  {
    name: 'events-rows',
    path: '/dashboard/events?q=*%20%7C%20stats%20by%20(host)%20count()%20events%20%7C%20sort%20by%20(events%20desc)',
  },
  { name: 'network-empty', path: '/dashboard/network' },
  { name: 'findings-empty', path: '/dashboard/findings' },
  { name: 'settings', path: '/dashboard/settings' },
  { name: 'palette', path: '/dashboard/agents', act: (page) => page.keyboard.press('Control+k') },
  { name: 'keys', path: '/dashboard/events', act: (page) => page.keyboard.press('?') },
  { name: 'you', path: '/dashboard', act: (page) => page.getByLabel('You and this browser').first().click() },
  {
    name: 'times',
    path: '/dashboard',
    act: (page) => page.getByRole('button', { name: /^Time range/ }).click(),
  },
];

async function openRow(page: Page): Promise<void> {
  const panel = page.getByRole('tabpanel');
  for (let tries = 0; tries < 5 && !(await panel.isVisible()); tries++) {
    // Rows move while events come: a click may meet one that is just going.
    await page.locator('[role="grid"] .row').first().click();
    await panel.waitFor({ timeout: 3000 }).catch(() => undefined);
  }
  await panel.waitFor();
}

/** Pages differ in what says that they are there. */
async function ready(page: Page): Promise<void> {
  const there = page
    .locator('main#page')
    .locator('.row, .u-over, [role=alert], [role=region], .message')
    .first();
  await there.waitFor({ state: 'attached' });
}

describe.skipIf(!need(hasChromium, 'Chromium'))('looks', () => {
  const stage = useFake({ history: 6000, agents: 24 });

  it.each(['wide', 'narrow'] as const)(
    'axe finds nothing in both themes, and nothing is wider than a %s window',
    { timeout: 300_000 },
    async (which) => {
      const { page, faults } = await stage.tab('/dashboard', viewOf(which));
      const found: Record<string, string[]> = {};
      for (const { name, path, act } of looks) {
        const { width, height, scheme } = viewOf(which);
        await page.setViewportSize({ width, height });
        await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
        await page.goto(path);
        await ready(page);
        await act?.(page);
        await page.waitForTimeout(250);
        Object.assign(found, await look(page, name, which));
      }
      expect(found).toEqual({});
      expect(faults).toEqual([]);
    },
  );

  it.each(['dark', 'light'] as Scheme[])(
    'axe finds nothing on the way in and when things are bad, in %s',
    async (scheme) => {
      const door = await openTab(stage.browser, stage.fake.address, { scheme });
      await door.page.goto('/login');
      await door.page.getByLabel('Name').fill('x');
      await door.page.getByLabel('Password').fill('y');
      await door.page.keyboard.press('Enter');
      await door.page.getByRole('alert').waitFor();
      await shot(door.page, `login-wrong-${scheme}`);
      expect(await axe(door.page)).toEqual([]);

      stage.fake.world.logState = 'full';
      const { page } = await stage.tab('/dashboard', { scheme });
      await page.getByText('The log is full').waitFor();
      stage.fake.cutLive(false);
      await page.getByText(/Not live since/).waitFor();
      await shot(page, `bad-${scheme}`);
      expect(await axe(page)).toEqual([]);
      stage.fake.failing.add('/api/agents/status');
      await page.goto('/dashboard/agents');
      await page.getByText('The agents could not be read').waitFor();
      await shot(page, `failed-${scheme}`);
      expect(await axe(page)).toEqual([]);
    },
  );
});
