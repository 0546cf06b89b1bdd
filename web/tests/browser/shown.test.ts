import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { hasChromium, need, shot } from './support/browser';
import { useFake } from './support/fake';

const rows = (page: Page) => page.locator('[role="grid"] .row');

describe.skipIf(!need(hasChromium, 'Chromium'))('what is shown', () => {
  const stage = useFake({ history: 4000, agents: 8, eventsPerSecond: 20 });

  // Places do not hang on the theme.
  it.each([390, 800, 1024, 1440])('shows what happened at %d px', async (width) => {
    const { page } = await stage.tab('/dashboard/events', { width, height: 844 });
    await rows(page).first().waitFor();
    const heads = await page.getByRole('columnheader').allTextContents();
    const message = rows(page)
      .first()
      .locator('[role="gridcell"]')
      .nth(heads.findIndex((head) => head.trim().startsWith('Message')));
    const box = await message.boundingBox();
    expect((box?.x ?? 9999) + 200).toBeLessThanOrEqual(width);
    const word = rows(page)
      .first()
      .getByText(/^(informational|low|medium|high|critical)$/);
    expect((await word.boundingBox())?.width === 1).toBe(width < 1200);
    if (width > 900)
      for (const found of await page.locator('aside .found').all())
        expect((await found.boundingBox())?.height).toBeLessThan(24);
    await shot(page, `shown-${width}`);
    await shot(page, `shown-${width}-light`, { scheme: 'light' });
  });

  it('folds readings away until they are asked for', async () => {
    const { page } = await stage.tab('/dashboard/events?cols=type');
    await rows(page).first().waitFor();
    expect(await rows(page).allTextContents()).not.toContain('process.sample');
    await page.getByRole('button', { name: /^Readings/ }).click();
    await page.waitForURL(/readings=1/);
    await rows(page).filter({ hasText: 'process.sample' }).first().waitFor();
    await page.goto('/dashboard/events?q=type:=process.sample');
    await rows(page).filter({ hasText: 'process.sample' }).first().waitFor();
    expect(await page.getByRole('button', { name: /^Readings/ }).count()).toBe(0);
  });

  it('has what came late where it happened', async () => {
    const { page } = await stage.tab('/dashboard/events?cols=message&q=mark');
    await page.getByText('Nothing matches').waitFor();
    const now = Date.now();
    for (const [message, ago] of [
      ['mark b', 20],
      ['mark c', 10],
      ['mark a', 30],
    ] as const)
      stage.fake.world.happen({
        type: 'process.exit',
        message,
        time: new Date(now - ago * 1000).toISOString(),
      });
    await page.waitForFunction(() => document.querySelectorAll('[role="grid"] .row').length === 3);
    expect((await rows(page).allTextContents()).map((each) => each.trim())).toEqual([
      'mark c',
      'mark b',
      'mark a',
    ]);
  });

  it('closes an event by Escape, and keeps an opened row in sight under load', async () => {
    const { page } = await stage.tab('/dashboard/events');
    await rows(page).nth(8).click();
    await page.getByRole('tabpanel').waitFor();
    stage.fake.world.options.eventsPerSecond = 400;
    await page.keyboard.press('p');
    await page.getByRole('button', { name: 'Live', exact: true }).waitFor();
    // So many came above it that it stands where it stood only if the list follows it.
    await page.waitForFunction(
      () =>
        Number(document.querySelector('[role="grid"] .row.open')?.getAttribute('aria-rowindex') ?? 999) > 300,
    );
    const box = await page.locator('[role="grid"] .row.open').boundingBox();
    expect(box?.y).toBeGreaterThan(0);
    expect(box?.y).toBeLessThan(760);
    await page.keyboard.press('Escape');
    await page.getByRole('tabpanel').waitFor({ state: 'hidden' });
    await page.waitForURL((url) => !url.searchParams.has('event'));
  });

  it('stops when a query is wrong', async () => {
    const { page } = await stage.tab('/dashboard/events');
    await rows(page).first().waitFor();
    await page.getByRole('combobox', { name: 'Query' }).fill('type:(oops');
    await page.keyboard.press('Enter');
    await page.getByRole('alert').waitFor();
    await page.getByText('Stopped').waitFor();
    expect(await rows(page).count()).toBe(0);
    expect(await page.getByRole('button', { name: 'Live', exact: true }).count()).toBe(0);
  });

  it('shows marks that nobody sees', async () => {
    const message = 'invoice\u202egnp.exe\u200b';
    stage.fake.world.happen({ type: 'finding.hub.test', severity: 'high', message, host: 'we\u2066b' });
    const { page } = await stage.tab('/dashboard');
    const seen = 'invoice⟨U+202E⟩gnp.exe⟨U+200B⟩';
    await page.getByRole('region', { name: 'Findings' }).getByText(seen).click();
    await page.getByRole('tabpanel').getByText(seen).waitFor();
    await page.getByRole('tab', { name: 'Raw JSON' }).click();
    const text = (await page.locator('main').textContent()) ?? '';
    expect(text).toContain('⟨U+2066⟩');
    expect(/[\u202a-\u202e\u2066-\u2069\u200b]/.test(text)).toBe(false);
  });

  it('shades what is not searchable, and says what an export holds', async () => {
    stage.fake.world.forgotten = 3000;
    const { page } = await stage.tab('/dashboard/events');
    await page.getByText(/searchable from .* on/).waitFor();
    await page.getByRole('img', { name: /Before .*: not searchable/ }).waitFor();
    await page.getByRole('button', { name: 'Export' }).click();
    await page.getByText(/^All that match/).waitFor();
    await shot(page, 'shown-shaded');
  });

  it('keeps colours with names, and tiles and lists with the range', async () => {
    const { page } = await stage.tab('/dashboard');
    const colours = () =>
      page
        .getByRole('region', { name: 'Events per second by type' })
        .locator('li button')
        .evaluateAll((all) =>
          Object.fromEntries(
            all.map((each) => [
              each.querySelector('.cut')?.textContent,
              (each.querySelector('.swatch') as HTMLElement).style.background,
            ]),
          ),
        );
    await page.locator('.uplot').first().waitFor();
    const before = await colours();
    await page.getByRole('button', { name: /^process\.exit/ }).click();
    expect(await colours()).toEqual(before);
    const asked = page.waitForRequest(/\/api\/overview\?since=.*until=/);
    const to = new Date(Date.now() - 120_000);
    const from = new Date(to.getTime() - 300_000);
    await page.evaluate((search) => {
      history.pushState(null, '', search);
      dispatchEvent(new PopStateEvent('popstate'));
    }, `?from=${from.toISOString()}&to=${to.toISOString()}`);
    await asked;
    await page.waitForTimeout(500);
    const after = await colours();
    for (const [name, colour] of Object.entries(after)) expect(colour).toBe(before[name]);
  });
});
