import { describe, expect, it } from 'vitest';
import { axe, look, viewOf } from './support/axe';
import { hasChromium, need, shot } from './support/browser';
import { useFake } from './support/fake';

const away = 'the store does not answer (connection refused). amoskys status says how it is';

describe.skipIf(!need(hasChromium, 'Chromium'))('Storage', () => {
  const stage = useFake({ history: 2000, agents: 8 });

  it('shows what is kept day by day, and what is not well', async () => {
    const { store } = stage.fake.world;
    store.troubled.set(3, { state: 'set_aside', reason: 'index file metaindex.bin is cut short' });
    store.troubled.set(5, { state: 'rebuilding', reason: '41% read again' });
    store.lag = 1204;
    store.state = 'behind';
    store.reason = 'one day is set aside';
    for (const which of ['wide', 'narrow'] as const) {
      const { page, faults } = await stage.tab('/dashboard/settings', viewOf(which));
      await page.getByRole('heading', { name: 'Storage' }).waitFor();
      await page.getByText('index file metaindex.bin is cut short').waitFor();
      expect(await page.getByRole('region', { name: 'Days' }).getByRole('row').count()).toBe(22);
      expect(await page.getByRole('img', { name: /Events a day/ }).getAttribute('aria-label')).toContain(
        'set aside',
      );
      await page.getByText('1 204', { exact: true }).waitFor();
      await page.getByText('40.0 GB at most').waitFor();
      expect(await look(page, 'storage', which)).toEqual({});
      expect(faults).toEqual([]);
    }
  });

  it('leads from a day to its events, and is one key away', async () => {
    const { page } = await stage.tab('/dashboard');
    await page.keyboard.press('g');
    await page.keyboard.press('s');
    await page.waitForURL('**/dashboard/settings');
    const day = page.getByRole('region', { name: 'Days' }).getByRole('link').first();
    const name = await day.textContent();
    await day.click();
    await page.waitForURL((url) => url.searchParams.get('from') === `${name}T00:00:00.000Z`);
  });

  it('says that the store is away, and is right again by itself', async () => {
    stage.fake.world.store.state = 'away';
    stage.fake.world.store.reason = away;
    const { page } = await stage.tab('/dashboard/settings');
    await page.getByText('The store is away').waitFor();
    await shot(page, 'storage-away-dark');
    expect(await axe(page)).toEqual([]);
    stage.fake.world.store.state = 'ok';
    await page.getByRole('region', { name: 'Days' }).waitFor();
  });
});

describe.skipIf(!hasChromium)('Storage of an empty system', () => {
  const stage = useFake({ history: 0, agents: 0 });

  it('says what will be there', async () => {
    const { page } = await stage.tab('/dashboard/settings');
    await page.getByText('Nothing is stored yet').waitFor();
  });
});
