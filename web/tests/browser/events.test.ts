import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { hasChromium, need } from './support/browser';
import { useFake } from './support/fake';

describe.skipIf(!need(hasChromium, 'Chromium'))('Events', () => {
  const stage = useFake({ history: 4000, agents: 8, eventsPerSecond: 20 });

  it('shows live events at the top, pauses, counts and goes on', async () => {
    const { page } = await stage.tab('/dashboard/events?cols=offset,message');
    const first = page.locator('[role="grid"] .row').first().locator('[role="gridcell"]').first();
    await first.waitFor();
    const before = Number(await first.textContent());
    await page.waitForFunction(
      (old) => Number(document.querySelector('[role="grid"] .row [role="gridcell"]')?.textContent) > old + 10,
      before,
    );
    await page.keyboard.press('p');
    await page.getByRole('button', { name: /\d+ new/ }).waitFor();
    const held = await first.textContent();
    await page.waitForTimeout(700);
    expect(await first.textContent()).toBe(held);
    await page.getByRole('button', { name: /\d+ new/ }).click();
    await page.waitForFunction(
      (old) => Number(document.querySelector('[role="grid"] .row [role="gridcell"]')?.textContent) > old + 10,
      Number(held),
    );
  });

  it('marks what it cannot read', async () => {
    const { page } = await stage.tab('/dashboard/events');
    await page.getByRole('grid').waitFor();
    await page.keyboard.press('/');
    await page.keyboard.type('type:=process.exit');
    await page.keyboard.press('Enter');
    await page.waitForURL(/q=type%3A%3Dprocess\.exit/);
    await page.keyboard.type(' (oops');
    await page.keyboard.press('Enter');
    const alert = page.getByRole('alert');
    await alert.waitFor();
    expect(await alert.textContent()).toContain('missing ")", at character 20');
    expect(await alert.locator('mark').textContent()).toBe('(oops');
  });

  it('filters by facets and by fields, and takes filters back', async () => {
    const { page } = await stage.tab('/dashboard/events');
    await page.getByRole('button', { name: /^process\.exit/ }).click();
    await page.waitForURL(/q=type%3A%3Dprocess\.exit/);
    await page.getByRole('button', { name: /^process\.exit/ }).click();
    await page.waitForURL((url) => !url.searchParams.has('q'));
    await page.getByRole('button', { name: 'Without type process.exit' }).click();
    await page.waitForURL(/q=-type%3A%3Dprocess\.exit/);
    await page.goBack();
    await page.locator('[role="grid"] .row').first().click();
    await page.getByRole('tabpanel').getByText('host.os.type').waitFor();
    await page.getByRole('button', { name: 'Only host.os.type linux' }).click({ force: true });
    await page.waitForURL(/q=host\.os\.type%3A%3Dlinux/);
  });

  it('opens an event by keyboard: fields, raw JSON, neighbours', async () => {
    const { page } = await stage.tab('/dashboard/events?q=type%3A%3Dprocess.sample');
    await page.getByRole('grid').focus();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await page.waitForURL(/event=\d+/);
    await page.getByRole('tabpanel').getByText('process.command_line').waitFor();
    await page.getByRole('tab', { name: 'Raw JSON' }).click();
    await page.getByRole('tabpanel').getByText('"type": "process.sample"').waitFor();
    await page.getByRole('tab', { name: 'Around it' }).click();
    expect(await page.getByRole('tabpanel').getByRole('listitem').count()).toBeGreaterThan(3);
    await page.getByRole('link', { name: 'Its process' }).click();
    await page.waitForURL(/process\.entity_id/);
  });

  it('shows the event of a link that the search does not find', async () => {
    const { page } = await stage.tab('/dashboard/events?event=7&q=type:nothing');
    await page.getByRole('tabpanel').getByText('offset 7').first().waitFor();
    await page.getByRole('button', { name: 'Close the event' }).click();
    await page.getByText('Nothing matches in this time range').waitFor();
  });

  it('hands over CSV with the columns shown', async () => {
    const { page } = await stage.tab('/dashboard/events?cols=offset,type,process.name&q=type:=process.exit');
    await page.getByRole('grid').waitFor();
    const download = page.waitForEvent('download');
    await page.getByRole('button', { name: 'Export' }).click();
    await page.getByRole('button', { name: /^CSV/ }).click();
    const text = await readFile(await (await download).path(), 'utf8');
    const lines = text.trim().split('\r\n');
    expect(lines[0]).toBe('offset,type,process.name');
    expect(lines[1]).toMatch(/^\d+,process\.exit,\w+$/);
    expect(lines.length).toBeGreaterThan(100);
  });

  it('chooses columns and switches to UTC', async () => {
    const { page } = await stage.tab('/dashboard/events');
    await page.getByRole('button', { name: 'Columns' }).click();
    await page.getByLabel('Find a column').fill('command');
    await page.getByLabel('process.command_line').check();
    await page.waitForURL(/cols=.*process\.command_line/);
    await page.getByRole('columnheader', { name: 'process.command_line' }).waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Local', exact: true }).click();
    await page.getByRole('button', { name: 'UTC', exact: true }).waitFor();
  });

  it('loads older events when one scrolls down', async () => {
    const { page } = await stage.tab('/dashboard/events');
    const grid = page.getByRole('grid');
    await grid.waitFor();
    await grid.focus();
    await page.keyboard.press('End');
    await page.waitForFunction(
      () => Number(document.querySelector('[role="grid"]')?.getAttribute('aria-rowcount')) > 380,
    );
  });

  it('says what failed, when nothing is there, and loads with grey rows', async () => {
    stage.fake.failing.add('/api/events');
    const { page } = await stage.tab('/dashboard/events');
    await page.getByText('The search failed').waitFor();
    stage.fake.failing.clear();
    stage.fake.delay = 700;
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.getByRole('status', { name: 'Searching' }).waitFor();
    await page.getByRole('grid').waitFor();
  });
});

describe.skipIf(!hasChromium)('Events of an empty system', () => {
  const stage = useFake({ history: 0, agents: 0 });

  it('says what will be there, and shows the first to come', async () => {
    const { page } = await stage.tab('/dashboard/events?readings=1');
    await page.getByText('There are no events yet').waitFor();
    stage.fake.world.advance(Date.now(), 5);
    await page.waitForFunction(() => document.querySelectorAll('[role="grid"] .row').length === 5);
  });
});
