import { describe, expect, it } from 'vitest';
import { axe } from './support/axe';
import { hasChromium, need } from './support/browser';
import { useFake } from './support/fake';

describe.skipIf(!need(hasChromium, 'Chromium'))('Saved queries', () => {
  const stage = useFake({ history: 2000, agents: 8, eventsPerSecond: 5 });
  const kept = (name: string, query: string, more = {}) => ({
    id: stage.fake.world.saved.length + 1,
    name,
    query,
    shared: false,
    owner: 'admin',
    mine: true,
    created_at: '2026-05-01T00:00:00Z',
    changed_at: '2026-05-01T00:00:00Z',
    changed_by: 'admin',
    ...more,
  });

  it('are saved with range and columns, opened, changed, renamed and deleted', async () => {
    const { page, faults } = await stage.tab(
      '/dashboard/events?q=type%3A%3Dprocess.exit&range=1h&cols=time,host',
    );
    await page.getByRole('grid').waitFor();
    const menu = page.getByRole('button', { name: 'Saved queries' });
    await menu.click();
    await page.getByText('Nothing is saved yet').waitFor();
    await page.getByRole('button', { name: 'Save this query…' }).click();
    await page.getByLabel('Name', { exact: true }).fill('ends');
    await page.getByLabel('shared with everybody').check();
    expect(await axe(page)).toEqual([]);
    await page.getByRole('button', { name: 'Save', exact: true }).click();
    await page.waitForURL(/saved=\d+/);
    expect(stage.fake.world.saved[0]).toMatchObject({
      name: 'ends',
      query: 'type:=process.exit',
      since: '1h',
      columns: ['time', 'host'],
      shared: true,
    });

    // Elsewhere one link opens it, with its range and columns.
    const { page: other } = await stage.tab(`/dashboard/events?saved=${stage.fake.world.saved[0]?.id}`);
    await other.waitForURL(/q=type%3A%3Dprocess\.exit/);
    expect(new URL(other.url()).searchParams.get('range')).toBe('1h');
    expect(new URL(other.url()).searchParams.get('cols')).toBe('time,host');
    await other.getByText('ends', { exact: true }).waitFor();

    // What was edited there is saved into it.
    await other.getByRole('combobox', { name: 'Query' }).fill('type:=process.execution');
    await other.getByRole('button', { name: 'Search', exact: true }).click();
    await other.getByText('ends *').waitFor();
    await other.getByRole('button', { name: 'Saved queries' }).click();
    await other.getByRole('button', { name: /^Save changes/ }).click();
    await other.getByText('ends', { exact: true }).waitFor();
    expect(stage.fake.world.saved[0]?.query).toBe('type:=process.execution');

    await menu.click();
    await page.getByRole('link', { name: /ends.*shared/ }).waitFor();
    expect(await axe(page)).toEqual([]);
    await page.getByRole('button', { name: 'Rename or share ends' }).click();
    await page.getByLabel('Name', { exact: true }).fill('starts');
    await page.getByRole('button', { name: 'Save', exact: true }).click();
    await menu.click();
    await page.getByRole('button', { name: 'Delete starts' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await page.waitForURL((url) => !url.searchParams.has('saved'));
    expect(stage.fake.world.saved).toEqual([]);
    expect(faults).toEqual([]);
  });

  it('are searched through, and say what is taken and what can no longer be read', async () => {
    for (const name of ['a', 'b', 'c', 'd', 'logins'])
      stage.fake.world.saved.push(kept(name, `host:=${name}`));
    stage.fake.world.saved.push(kept('old', '(oops'));
    const { page } = await stage.tab('/dashboard/events');
    const menu = page.getByRole('button', { name: 'Saved queries' });
    await menu.click();
    await page.getByLabel('Find a saved query').fill('LOG');
    expect(await page.getByRole('link', { name: /private/ }).count()).toBe(1);
    await page.getByLabel('Find a saved query').fill('');
    await page.getByRole('link', { name: /old.*no longer understood/ }).click();
    // It is opened with its fault, and mended there.
    await page.getByRole('alert').waitFor();
    await page.getByRole('combobox', { name: 'Query' }).fill('host:=web');
    await page.keyboard.press('Enter');
    await menu.click();
    await page.getByRole('button', { name: 'Save changes to “old”' }).click();
    await page.getByText('Saved: old').waitFor();
    await menu.click();
    await page.getByRole('button', { name: 'Save this query…' }).click();
    await page.getByLabel('Name', { exact: true }).fill('Logins');
    await page.getByRole('button', { name: 'Save', exact: true }).click();
    await page.getByRole('dialog').getByRole('alert').getByText('there is a saved query named').waitFor();
  });

  it('are for a viewer to keep, not to share', async () => {
    stage.fake.world.role = 'viewer';
    stage.fake.world.saved.push(kept('theirs', 'host:=web', { shared: true, mine: false, owner: 'ann' }));
    const { page } = await stage.tab('/dashboard/events?q=sshd');
    await page.getByRole('button', { name: 'Saved queries' }).click();
    await page.getByRole('link', { name: /theirs.*shared by ann/ }).waitFor();
    expect(await page.getByRole('button', { name: 'Delete theirs' }).count()).toBe(0);
    await page.getByRole('button', { name: 'Save this query…' }).click();
    expect(await page.getByLabel('shared with everybody').isDisabled()).toBe(true);
    await page.getByText('To share a query needs role analyst').waitFor();
  });

  it('says so when a link leads nowhere', async () => {
    const { page } = await stage.tab('/dashboard/events?saved=99');
    await page.getByText('This saved query is not there any more').waitFor();
    await page.waitForURL((url) => !url.searchParams.has('saved'));
  });
});
