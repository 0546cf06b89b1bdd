import { describe, expect, it } from 'vitest';
import { axe } from './support/axe';
import { hasChromium, need } from './support/browser';
import { useFake } from './support/fake';

describe.skipIf(!need(hasChromium, 'Chromium'))('Events while the store is away', () => {
  const stage = useFake({ history: 2000, agents: 8, eventsPerSecond: 5 });

  it('offers nothing that cannot work, says why, and offers it again', async () => {
    stage.fake.world.store.state = 'away';
    const { page, faults } = await stage.tab('/dashboard/events');
    await page.getByText('The store is away').first().waitFor();
    const menu = page.getByRole('button', { name: 'Export' });
    await menu.click();
    const all = page.getByRole('button', { name: 'OCSF, JSON lines' });
    expect(await all.isDisabled()).toBe(true);
    await page.getByText('this works again once it answers').waitFor();
    expect(await axe(page)).toEqual([]);
    await page.keyboard.press('Escape');
    expect(await page.getByLabel('Count the values of a field').isDisabled()).toBe(true);
    await page.getByRole('button', { name: 'Questions' }).click();
    expect(await page.getByRole('button', { name: /most memory/ }).isDisabled()).toBe(true);
    expect(await page.getByRole('button', { name: 'Count', exact: true }).isDisabled()).toBe(true);
    // What is followed live can be asked all the same.
    await page.getByRole('link', { name: 'What is grave?' }).waitFor();
    await page.keyboard.press('Escape');
    stage.fake.world.store.state = 'ok';
    await page.getByRole('grid').waitFor();
    await menu.click();
    const again = page.getByRole('link', { name: 'OCSF, JSON lines' });
    await again.waitFor();
    expect(await again.getAttribute('href')).toContain('format=ocsf');
    expect(faults).toEqual([]);
  });
});
