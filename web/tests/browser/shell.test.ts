import { describe, expect, it } from 'vitest';
import { hasChromium, need } from './support/browser';
import { useFake } from './support/fake';

describe.skipIf(!need(hasChromium, 'Chromium'))('shell', () => {
  const stage = useFake({ history: 2000, agents: 8 });

  it('goes to pages by keys and keeps the time range', async () => {
    const { page } = await stage.tab('/dashboard?range=1h');
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
    await page.keyboard.press('g');
    await page.keyboard.press('a');
    await page.waitForURL('**/dashboard/agents?range=1h');
    await page.keyboard.press('g');
    await page.keyboard.press('e');
    await page.waitForURL('**/dashboard/events?range=1h');
    await page.goBack();
    await page.getByRole('heading', { name: 'Agents' }).waitFor();
    await page.goBack();
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
    expect(await page.getByRole('button', { name: /^Time range/ }).getAttribute('aria-label')).toContain(
      'Last hour',
    );
  });

  it('opens the palette anywhere and does what is chosen', async () => {
    const { page } = await stage.tab();
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
    await page.keyboard.press('Control+k');
    const field = page.getByRole('combobox', { name: 'Page, host, agent, device or action' });
    await field.fill('logs proc_agent web-01');
    await page.getByRole('option', { name: /Logs of proc_agent on web-01/ }).waitFor();
    await page.keyboard.press('Enter');
    await page.waitForURL('**/dashboard/agents?agent=web-01%2Fproc_agent&tab=logs');
    await page.getByRole('log').waitFor();
    expect(await page.getByRole('log').textContent()).toContain('batch acknowledged');
  });

  it('lists the keys that work, and closes by Escape', async () => {
    const { page } = await stage.tab('/dashboard/events');
    await page.getByRole('grid').waitFor();
    await page.keyboard.press('?');
    const dialog = page.getByRole('dialog', { name: 'Keys' });
    await dialog.waitFor();
    for (const does of ['Next row', 'Pause or go on', 'Overview', 'Command palette']) {
      expect(await dialog.textContent()).toContain(does);
    }
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'hidden' });
  });

  it('follows the system theme until another is chosen, and remembers it', async () => {
    const { page } = await stage.tab('/dashboard', { scheme: 'light' });
    const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    expect(await background()).toBe('rgb(247, 248, 250)');
    await page.getByLabel('You and this browser').first().click();
    await page.getByRole('button', { name: 'Dark' }).click();
    await expect.poll(background).toBe('rgb(11, 14, 19)');
    await page.reload();
    await page.locator('main#page').waitFor();
    await expect.poll(background).toBe('rgb(11, 14, 19)');
  });

  it('folds the navigation, and remembers it', async () => {
    const { page } = await stage.tab();
    await page.getByRole('button', { name: 'Fold the navigation', exact: true }).click();
    await page.getByRole('button', { name: 'Unfold the navigation' }).waitFor();
    expect((await page.getByRole('navigation', { name: 'Pages' }).boundingBox())?.width).toBe(48);
    await page.reload();
    await page.getByRole('button', { name: 'Unfold the navigation' }).waitFor();
  });

  it('slides the navigation in on a narrow screen', async () => {
    const { page } = await stage.tab('/dashboard', { width: 360, height: 740 });
    await page.getByRole('button', { name: 'Open the navigation' }).click();
    await page
      .getByRole('navigation', { name: 'Pages' })
      .getByRole('link', { name: /^Agents/ })
      .click();
    await page.getByRole('heading', { name: 'Agents' }).waitFor();
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(360);
  });

  it('says since when it is stale, reconnects by itself and asks for what it missed', async () => {
    const { page } = await stage.tab('/dashboard/events?readings=1');
    await page.getByRole('grid').waitFor();
    stage.fake.cutLive(false);
    const line = page.getByText(/^Not live since \d\d:\d\d:\d\d/);
    await line.waitFor();
    stage.fake.cutLive(true);
    // Unless its own next try is faster.
    await page
      .getByRole('button', { name: 'Try now' })
      .click({ timeout: 2000 })
      .catch(() => undefined);
    await line.waitFor({ state: 'hidden' });
    // All that happened meanwhile is there, each once.
    await page.waitForTimeout(500);
    const download = page.waitForEvent('download');
    await page.getByRole('button', { name: 'Export' }).click();
    await page.getByRole('button', { name: /JSON lines/ }).click();
    const path = await (await download).path();
    const { readFile } = await import('node:fs/promises');
    const offsets = (await readFile(path, 'utf8'))
      .trim()
      .split('\n')
      .map((each) => (JSON.parse(each) as { offset: number }).offset);
    const expected = offsets.map((_, index) => (offsets[0] ?? 0) - index);
    expect(offsets).toEqual(expected);
    expect(offsets.length).toBeGreaterThan(200);
  });

  it('asks for nothing while its tab is hidden, and catches up when it is seen', async () => {
    const { page } = await stage.tab('/dashboard/events?readings=1&cols=offset');
    const first = page.locator('[role="grid"] .row [role="gridcell"]').first();
    await first.waitFor();
    const hide = (hidden: boolean) =>
      page.evaluate((now) => {
        Object.defineProperty(document, 'hidden', { value: now, configurable: true });
        document.dispatchEvent(new Event('visibilitychange'));
      }, hidden);
    await hide(true);
    await page.getByText('Paused', { exact: true }).waitFor();
    const then = await first.textContent();
    await page.waitForTimeout(1000);
    expect(await first.textContent()).toBe(then);
    await hide(false);
    await page.waitForFunction(
      (old) => Number(document.querySelector('[role="grid"] .row [role="gridcell"]')?.textContent) > old + 30,
      Number(then),
    );
    const offsets = await page.locator('[role="grid"] .row [role="gridcell"]:first-child').allTextContents();
    expect(offsets.map(Number)).toEqual(offsets.map((_, index) => Number(offsets[0]) - index));
  });

  it('offers to reload when another build is served, and goes on until then', async () => {
    const { page } = await stage.tab();
    await page.getByText('Live', { exact: true }).waitFor();
    const offer = page.getByText(/^The dashboard was updated/);
    expect(await offer.isVisible()).toBe(false);
    stage.fake.page = '/assets/index-of-another-build.js';
    stage.fake.cutLive(true);
    await offer.waitFor();
    await page.getByText('Live', { exact: true }).waitFor();
    stage.fake.page = '';
    await page.getByRole('button', { name: 'Reload' }).click();
    await page.getByText('Live', { exact: true }).waitFor();
    expect(await offer.isVisible()).toBe(false);
  });

  it('loads itself again, once, for code that is not there any more', async () => {
    const { page } = await stage.tab('/dashboard/events');
    await page.getByRole('grid').waitFor();
    let asked = 0;
    await page.route('**/assets/Agents-*.js', (route) => {
      asked += 1;
      return asked === 1 ? route.fulfill({ status: 404, body: 'gone' }) : route.continue();
    });
    await page.keyboard.press('g');
    await page.keyboard.press('a');
    await page.getByRole('row').filter({ hasText: 'proc_agent' }).first().waitFor();
    expect(asked).toBe(2);
  });

  it('says when the dashboard has lost the hub', async () => {
    const { page } = await stage.tab();
    await page.getByText('Live', { exact: true }).waitFor();
    stage.fake.hub(false);
    await page.getByText(/^Not live since/).waitFor();
    stage.fake.hub(true);
    await page.getByText(/^Not live since/).waitFor({ state: 'hidden' });
  });

  it('says what is wrong when there is no such page', async () => {
    const { page } = await stage.tab('/dashboard/nonsense');
    await page.getByText('There is no such page').waitFor();
    await page.getByRole('link', { name: 'Go to Overview' }).click();
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
  });
});
