import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { axe } from './support/axe';
import { hasChromium, need, shot } from './support/browser';
import { useFake } from './support/fake';

const away = 'the store does not answer (connection refused). amoskys status says how it is';
const counted = encodeURIComponent('* | stats by (host) count() events | sort by (events desc)');

describe.skipIf(!need(hasChromium, 'Chromium'))('Events of the store', () => {
  const stage = useFake({ history: 4000, agents: 8, eventsPerSecond: 20 });

  it('says whether an answer is complete, and what it lacks', async () => {
    const { page } = await stage.tab('/dashboard/events');
    await page.getByText('complete', { exact: true }).waitFor();
    stage.fake.world.store.lacks = [
      {
        place: 'agent',
        count: 1204,
        reason: 'its spool was full',
        since: '2026-01-01T12:01:00Z',
        until: '2026-01-01T12:09:00Z',
        host: 'web-01',
        agent: 'proc_agent',
      },
      {
        place: 'store',
        count: 0,
        reason: '2026-01-01 is set aside',
        since: null,
        until: null,
        host: '',
        agent: '',
      },
    ];
    await page.reload();
    const line = page.getByRole('button', { name: /^lacks at least 1 204 events: proc_agent on web-01/ });
    await line.click();
    await page.getByText('unknown how many, the store: 2026-01-01 is set aside').waitFor();
    await shot(page, 'stored-lacks-dark');
    expect(await axe(page)).toEqual([]);
  });

  it('does not let an answer of before stand for one that is waited for', async () => {
    const { page } = await stage.tab('/dashboard/events');
    await page.getByText('complete', { exact: true }).waitFor();
    stage.fake.delay = 4000;
    await page.getByLabel('Query').fill('type:=auth.attempt');
    await page.keyboard.press('Enter');
    await page.getByText('Searching… what stands here is of before').waitFor();
    await page.getByText('complete', { exact: true }).waitFor({ state: 'hidden' });
    stage.fake.delay = 0;
    await page.getByText('complete', { exact: true }).waitFor();
  });

  it('shows the table and the bars of a query with pipes, and leads to the events', async () => {
    // How it looks in both themes and all widths is seen in looks.test.ts.
    const { page, faults } = await stage.tab(`/dashboard/events?q=${counted}`);
    await page.getByRole('region', { name: 'events, as bars' }).waitFor();
    await page.getByRole('columnheader', { name: 'host' }).waitFor();
    expect(faults).toEqual([]);
    const grid = page.getByRole('grid', { name: 'Rows' });
    await grid.waitFor();
    await grid.getByRole('button', { name: 'events' }).click();
    await page.locator('[aria-sort="descending"]').waitFor();
    await grid.focus();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await page.waitForURL(/q=host%3A%3D/);
    await page.getByRole('grid', { name: 'Events' }).waitFor();
  });

  it('marks a fault among the pipes', async () => {
    const { page } = await stage.tab(`/dashboard/events?q=${encodeURIComponent('* | frobnicate by (host)')}`);
    const alert = page.getByRole('alert');
    await alert.waitFor();
    expect(await alert.textContent()).toContain('unknown pipe frobnicate, at character 5');
  });

  it('answers a question in one step', async () => {
    const { page } = await stage.tab('/dashboard/events');
    await page.getByRole('grid').waitFor();
    await page.getByRole('button', { name: 'Questions' }).click();
    await shot(page, 'stored-questions-dark');
    expect(await axe(page)).toEqual([]);
    await page.getByRole('link', { name: 'Which hosts send the most, and of what?' }).click();
    await page.getByRole('region', { name: 'events, as bars' }).waitFor();
    await page.getByRole('button', { name: 'Questions' }).click();
    await page.getByLabel('The ten commonest values of').fill('process.user.name');
    await page.getByRole('button', { name: 'Count', exact: true }).click();
    await page.getByRole('region', { name: 'hits, as bars' }).waitFor();
    await page.getByRole('columnheader', { name: 'process.user.name' }).waitFor();
  });

  it('asks the metrics what used the most, as they have all readings', async () => {
    const { page } = await stage.tab('/dashboard/events');
    await page.getByRole('grid').waitFor();
    await page.getByRole('button', { name: 'Questions' }).click();
    await page.getByRole('link', { name: /used the most CPU in the last ten minutes/ }).click();
    await page.waitForURL(/\/dashboard\/metrics\?range=10m&q=topk/);
  });

  it('asks of the host and the process of an event', async () => {
    const { page } = await stage.tab('/dashboard/events?q=type%3A%3Dprocess.execution');
    await page.locator('[role="grid"] .row').first().click();
    await page.getByRole('tabpanel').waitFor();
    await page.locator('.ways').getByRole('button', { name: 'Questions' }).click();
    await page.getByRole('link', { name: /^What changed on/ }).waitFor();
    await page.getByRole('link', { name: 'Who started this process?' }).click();
    await page.waitForURL(/process\.entity_id/);
  });

  it('counts any field, and all its values', async () => {
    const { page } = await stage.tab('/dashboard/events');
    const values = page.getByRole('complementary', { name: 'Values' });
    const field = values.getByLabel('Count the values of a field');
    await field.fill('no.such.field');
    await field.press('Enter');
    await values.getByRole('alert').waitFor();
    await field.fill('process.command_line');
    await field.press('Enter');
    await page.waitForURL(/facets=process\.command_line/);
    await values
      .getByRole('button', { name: /^cron|^\/usr\/sbin\/cron -f/ })
      .first()
      .waitFor();
    await values.getByRole('button', { name: 'More values of process.command_line' }).click();
    await values.getByRole('button', { name: 'Fewer of process.command_line' }).waitFor();
    await values
      .getByRole('button', { name: /^nginx: worker/ })
      .first()
      .click({ modifiers: ['Alt'] });
    await page.waitForURL(/-process\.command_line/);
    await values.getByRole('button', { name: 'Count process.command_line no more' }).click();
    await page.waitForURL((url) => !url.searchParams.has('facets'));
  });

  it('completes values that only the store has, and pipes', async () => {
    const { page } = await stage.tab('/dashboard/events');
    await page.getByRole('grid').waitFor();
    await page.keyboard.press('/');
    await page.keyboard.type('process.user.name:dep');
    await page.getByRole('option', { name: /^deploy/ }).waitFor();
    await page.keyboard.press('Tab');
    await page.keyboard.type('| to');
    await page.getByRole('option', { name: /^top/ }).waitFor();
    await page.keyboard.press('Tab');
    await page.keyboard.type('10 by (process.na');
    await page.getByRole('option', { name: /^process\.name/ }).waitFor();
    await page.keyboard.press('Tab');
    await page.keyboard.type(')');
    await page.keyboard.press('Enter');
    await page.getByRole('columnheader', { name: 'process.name' }).waitFor();
  });

  it('hands over all that matches, in every form', async () => {
    const { page } = await stage.tab('/dashboard/events?cols=offset,type&q=type:=process.exit&range=1h');
    await page.getByRole('grid').waitFor();
    await page.getByRole('button', { name: 'Export' }).click();
    await page.getByText(/^All that match: /).waitFor();
    for (const format of ['csv', 'jsonl', 'ndjson-ecs', 'ocsf'])
      expect(await page.locator(`a[href*="format=${format}"]`).count()).toBe(1);
    await shot(page, 'stored-export-dark');
    const download = page.waitForEvent('download');
    await page.locator('a[href*="format=csv"]').click();
    const lines = (await readFile(await (await download).path(), 'utf8')).trim().split('\r\n');
    expect(lines[0]).toBe('offset,type');
    expect(lines.length).toBeGreaterThan(300);
  });

  it('shows what comes in while the store is away, and all the rest when it is back', async () => {
    stage.fake.world.store.state = 'away';
    stage.fake.world.store.reason = away;
    const { page } = await stage.tab('/dashboard/events?readings=1');
    await page
      .getByText('What comes in now is shown here meanwhile')
      .or(page.getByText('the store is away'))
      .first()
      .waitFor();
    await page.locator('[role="grid"] .row').first().waitFor();
    await shot(page, 'stored-away-dark');
    expect(await axe(page)).toEqual([]);
    stage.fake.world.store.state = 'ok';
    await page.getByText('complete', { exact: true }).waitFor();
    await page.waitForFunction(
      () => Number(document.querySelector('[role="grid"]')?.getAttribute('aria-rowcount')) > 150,
    );
  });

  it('shows the rows of a week first, and counts behind them', async () => {
    const { page } = await stage.tab('/dashboard/events?range=7d');
    await page.locator('[role="grid"] .row').first().waitFor();
    await page.getByRole('img', { name: /^Matching events over time/ }).waitFor();
    await page.getByRole('button', { name: /^process\.exit/ }).waitFor();
    await page
      .locator('.found')
      .getByText(/events/)
      .first()
      .waitFor();
    await page.getByText('complete', { exact: true }).waitFor();
  });

  it('leaves Overview what the hub tells', async () => {
    stage.fake.world.store.state = 'away';
    stage.fake.world.store.reason = away;
    const { page } = await stage.tab('/dashboard');
    await page.getByText(/^The store is away: searches/).waitFor();
    await page.getByText('Not known while the store is away.').first().waitFor();
    await shot(page, 'stored-overview-away-dark');
    expect(await axe(page)).toEqual([]);
  });
});
