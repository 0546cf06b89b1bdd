import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { axe, look, viewOf } from './support/axe';
import { hasChromium, need, shot } from './support/browser';
import { useFake } from './support/fake';

describe.skipIf(!need(hasChromium, 'Chromium'))('Metrics', () => {
  const stage = useFake({ history: 200, agents: 8 });
  const field = (page: Page, letter = 'A') => page.getByRole('combobox', { name: `Query ${letter}` });
  const legend = (page: Page) => page.getByRole('region', { name: 'Lines of the chart' });

  it('completes, draws, isolates, says what is wrong, and keeps a panel', { timeout: 120_000 }, async () => {
    stage.fake.world.grafana = 'https://grafana.example.org';
    const { page, faults } = await stage.tab('/dashboard');
    await page.keyboard.press('g');
    await page.keyboard.press('m');
    await page.getByRole('heading', { name: 'Questions to begin with' }).waitFor();
    await page.keyboard.press('/');
    await page.keyboard.type('process_c');
    await page.getByRole('option', { name: /^process_cpu_percent gauge: CPU use/ }).waitFor();
    await page.keyboard.press('Tab');
    await page.keyboard.type('{ho');
    await page.getByRole('option', { name: 'host' }).waitFor();
    await page.keyboard.press('Tab');
    await page.keyboard.type('web');
    await page.getByRole('option', { name: /^web-01/ }).waitFor();
    await page.keyboard.press('Tab');
    await page.keyboard.press('End');
    await page.keyboard.type('}');
    await page.keyboard.press('Enter');
    await page.waitForURL((url) => url.searchParams.get('q') === 'process_cpu_percent{host="web-01"}');
    await legend(page)
      .getByRole('row', { name: /postgres/ })
      .waitFor();
    await page.getByRole('img', { name: /^Over time\./ }).waitFor();
    await page
      .getByRole('table', { name: 'Query A' })
      .getByRole('rowheader', { name: /postgres/ })
      .waitFor();

    // One line alone, a second query, and what cannot be read.
    const line = legend(page).getByRole('button', { name: /postgres/ });
    await line.click();
    expect(await line.getAttribute('aria-pressed')).toBe('true');
    await page.getByRole('button', { name: 'Add a query' }).click();
    await page.keyboard.type('sum(process_memory_bytes');
    await page.keyboard.press('Enter');
    await page.getByRole('alert').getByText('unclosed left parenthesis').waitFor();
    await page.getByText('at character 4').waitFor();
    await legend(page)
      .getByRole('row', { name: /postgres/ })
      .first()
      .waitFor();
    await shot(page, 'metrics-wrong');
    await field(page, 'B').fill('eventbus_queue_depth');
    await page.keyboard.press('Enter');
    await page.getByRole('alert').waitFor({ state: 'hidden' });
    await legend(page)
      .getByRole('row', { name: /B eventbus_queue_depth/ })
      .waitFor();
    expect(await page.getByRole('link', { name: 'Grafana' }).getAttribute('href')).toContain(
      'https://grafana.example.org/explore?',
    );

    // Saved, and opened again by its link alone; searches of events have a list of their own.
    await page.getByRole('button', { name: 'Saved panels' }).click();
    await page.getByRole('button', { name: 'Save this panel…' }).click();
    await page.getByLabel('Name', { exact: true }).fill('CPU and queue');
    await page.keyboard.press('Enter');
    await page.waitForURL(/saved=\d+/);
    const id = new URL(page.url()).searchParams.get('saved');
    await page.goto(`/dashboard/metrics?saved=${id}`);
    await legend(page)
      .getByRole('row', { name: /B eventbus_queue_depth/ })
      .waitFor();
    await page.goto('/dashboard/events');
    await page.getByRole('button', { name: 'Saved queries' }).click();
    await page.getByText('Nothing is saved yet').waitFor();
    expect(faults).toEqual([]);
  });

  it('says that the store is away, and goes on by itself', { timeout: 60_000 }, async () => {
    const { store } = stage.fake.world;
    const { page, faults } = await stage.tab('/dashboard/metrics?q=eventbus_queue_depth');
    await legend(page).waitFor();
    store.state = 'away';
    store.reason = 'the store does not answer (connection refused)';
    await field(page).focus();
    await page.keyboard.press('Enter');
    await page.getByText(/^▲ The metrics are away: the store does not answer/).waitFor();
    await legend(page).waitFor();
    await shot(page, 'metrics-away');
    expect(await axe(page)).toEqual([]);
    store.state = 'ok';
    await page.getByText('The metrics are away').waitFor({ state: 'hidden' });
    expect(faults).toEqual([]);
  });

  it('tells what processes used, on the pages of agents and of everything', { timeout: 60_000 }, async () => {
    const { page, faults } = await stage.tab('/dashboard/agents?agent=web-01%2Fproc_agent&tab=metrics');
    const byCPU = page.getByRole('region', { name: 'Processes by CPU' });
    await byCPU.getByRole('rowheader', { name: /^postgres/ }).waitFor();
    await shot(page, 'agents-metrics');
    expect(await axe(page)).toEqual([]);
    await byCPU.getByRole('link', { name: 'Over time' }).click();
    await legend(page)
      .getByRole('row', { name: /postgres/ })
      .first()
      .waitFor();
    await page.goto('/dashboard?range=6h');
    const top = page.getByRole('region', { name: 'Top processes by CPU' });
    await top.getByRole('link', { name: 'postgres' }).first().waitFor();
    expect(faults).toEqual([]);
  });

  it('shows rules, what is pending or fires, and where its finding is', { timeout: 60_000 }, async () => {
    const { page, faults } = await stage.tab('/dashboard/metrics');
    await page.getByRole('tab', { name: 'Rules and alerts' }).click();
    await page.waitForURL((url) => url.searchParams.get('tab') === 'rules');
    await page.getByText('1 fires, 1 pending').waitFor();
    await page.getByText('■ 1 fails').waitFor();
    const alerts = page.getByRole('region', { name: 'Alerts' });
    await alerts.getByText('web-01 is busy').waitFor();
    const finding = new URL(
      (await alerts.getByRole('link', { name: 'Its finding' }).getAttribute('href')) ?? '',
      page.url(),
    );
    expect(finding.searchParams.get('q')).toBe(
      'type:finding.metric_alert rule.name:=HostBusy finding.observables.host.name:=web-01 finding.observables.agent.id:=proc_agent',
    );
    expect(finding.searchParams.get('range')).toBe('6h');
    await page.getByText('found duplicate series').waitFor();
    await page.getByRole('link', { name: 'host:process_memory_bytes:sum' }).click();
    await legend(page).waitFor();

    stage.fake.world.rules = false;
    await page.goto('/dashboard/metrics?tab=rules');
    await page.getByText('No rules are evaluated').waitFor();
    expect(await axe(page)).toEqual([]);
    expect(faults).toEqual([]);
  });

  it.each(['wide', 'narrow'] as const)(
    'is sound for axe on a %s window',
    { timeout: 120_000 },
    async (which) => {
      const found: Record<string, string[]> = {};
      const { page, faults } = await stage.tab('/dashboard/metrics', viewOf(which));
      await page.getByRole('heading', { name: 'Questions to begin with' }).waitFor();
      Object.assign(found, await look(page, 'metrics-start', which));
      const queries = 'topk(10, process_cpu_percent)\neventbus_throughput_eps';
      await page.goto(`/dashboard/metrics?q=${encodeURIComponent(queries)}`);
      await legend(page).getByRole('row').nth(3).waitFor();
      await field(page).focus();
      Object.assign(found, await look(page, 'metrics', which));
      await page.goto('/dashboard/metrics?tab=rules');
      await page.getByRole('region', { name: 'Alerts' }).waitFor();
      Object.assign(found, await look(page, 'metrics-rules', which));
      expect(found).toEqual({});
      expect(faults).toEqual([]);
    },
  );
});
