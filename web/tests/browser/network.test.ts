import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { axe, look, viewOf } from './support/axe';
import { hasChromium, need, shot } from './support/browser';
import { hasProgram } from './support/program';
import { useProgram } from './support/real';

const ready = need(hasChromium, 'Chromium') && need(hasProgram, 'bin/amoskys (run make build)');

// The page Network over the real program, whose flows the synthetic agent makes.
describe.skipIf(!ready)('Network', () => {
  const stage = useProgram('', 'synthetic: {rate: 200, anomalies_per_hour: 3000}\n');
  const enter = (path: string) => stage.enter(path, { height: 900 });
  const ended = (page: Page) => page.getByRole('grid', { name: 'Flows that ended' });
  const map = (page: Page) => page.getByRole('listbox', { name: /^Map of hosts/ });
  const pairs = (page: Page) => page.getByRole('grid', { name: 'Who talks to whom' });

  it('draws who talks to whom, and what is chosen filters the flows', async () => {
    const { page, faults } = await enter('/dashboard/network');
    await ended(page).locator('.row').first().waitFor();
    await map(page).getByRole('option').first().waitFor();
    await pairs(page).locator('.row').first().waitFor();
    // The drawing and the table tell of the same nodes.
    await map(page).locator('[role="option"][data-sel="net:198.51.100.0/24"]').waitFor();

    // By keyboard: the first host, and all rows are of it.
    await map(page).focus();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await page.waitForURL(/sel=ip/);
    const ip = new URL(page.url()).searchParams.get('sel')?.slice(3) ?? '';
    await page.waitForFunction((wanted) => {
      const rows = [...document.querySelectorAll('[aria-label="Flows that ended"] .row')];
      return rows.length > 0 && rows.every((row) => row.textContent?.includes(`${wanted}:`));
    }, ip);
    expect(await map(page).getByRole('option', { selected: true }).count()).toBe(1);
    await page.keyboard.press('Escape');
    await page.waitForURL((url) => !url.searchParams.has('sel'));

    // By mouse: a line of the table is a line of the map.
    await pairs(page).locator('.row').first().click();
    await page.waitForURL(/sel=.*%3E/);
    await page.getByText(/^only /).waitFor();
    await page.reload();
    await page.getByText(/^only /).waitFor();
    await page.getByRole('button', { name: 'Drop the selection' }).click();

    await page.getByRole('button', { name: 'Zoom in' }).click();
    await page.getByRole('button', { name: 'All', exact: true }).click();
    expect(faults).toEqual([]);
  });

  it('opens the timeline of a flow, which leads to its events', async () => {
    const { page, faults } = await enter('/dashboard/network?tab=flows&q=network.application:=https');
    // Rows that come would move the one that is clicked.
    await ended(page).locator('.row').nth(2).waitFor();
    await page.keyboard.press('p');
    await page.getByRole('button', { name: /new$|Paused/ }).waitFor();
    await ended(page).locator('.row').nth(2).click();
    const detail = page.getByRole('group', { name: 'The flow' });
    const happened = detail.getByRole('list', { name: 'What happened' });
    await happened.getByRole('link', { name: 'flow.created' }).first().waitFor();
    await happened.getByRole('link', { name: 'flow.ended' }).first().waitFor();
    await detail.getByText('Community ID').waitFor();
    // Who keeps no packets says so; then an agent that does, without its capture.
    await detail.getByText('Not now: this agent keeps no packets').waitFor();
    expect(await detail.getByRole('button', { name: 'Save packets' }).getAttribute('aria-disabled')).toBe(
      'true',
    );
    await shot(page, 'network-flow-dark');
    const link = page.url();
    await detail.getByRole('link', { name: 'Its events' }).click();
    await page.waitForURL(/dashboard\/events\?.*community_id/);
    await page.getByRole('grid', { name: 'Events' }).locator('.row').first().waitFor();
    // The address alone brings the flow back.
    const keeps = [{ name: 'packets_save', unavailable: '' }];
    await page.route('**/api/agents/*/tasks?*', (route) => route.fulfill({ json: { tasks: keeps } }));
    await page.route('**/api/packets', (route) =>
      route.fulfill({
        body: route.request().postData() ?? '',
        headers: { 'Content-Disposition': 'attachment; filename="a.pcap"', 'Packets-Saved': '7 packets' },
      }),
    );
    await page.goto(link);
    await happened.getByRole('link', { name: 'flow.ended' }).first().waitFor();
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      detail.locator('button[aria-disabled=false]', { hasText: 'Save packets' }).click(),
    ]);
    expect(download.suggestedFilename()).toBe('a.pcap');
    await detail.getByText('7 packets', { exact: true }).waitFor();
    expect(faults).toEqual([]);
  });

  it('takes flows apart, and a value becomes a filter', async () => {
    const { page, faults } = await enter('/dashboard/network?tab=apps');
    const table = (name: string) => page.getByRole('region', { name, exact: true });
    await table('Categories').getByRole('button', { name: 'web' }).waitFor();
    await table('Applications').getByRole('button', { name: 'ssh' }).click();
    await page.waitForURL(/q=network\.application%3A%3Dssh/);
    await page.goto('/dashboard/network?tab=tls');
    await table('Versions').getByRole('button', { name: '1.3' }).waitFor();
    await table('Issuers')
      .getByRole('button', { name: /Example Authority/ })
      .first()
      .waitFor();
    await page.getByRole('tab', { name: 'TLS' }).focus();
    await page.keyboard.press('ArrowRight');
    await table('JA4 of clients').getByRole('button', { name: /^t13d/ }).first().waitFor();
    await page.keyboard.press('ArrowRight');
    await table('Response codes').getByRole('button', { name: 'NOERROR' }).waitFor();
    await table('Slow servers').getByText(/ms$/).first().waitFor();
    await page.goto('/dashboard/network?flows=open&tab=flows');
    await page.getByRole('grid', { name: 'Open flows' }).locator('.row').first().waitFor();
    await page.getByText('not ended; in no sum').waitFor();
    expect(faults).toEqual([]);
  });

  it('marks in the map what findings name, and lists them', async () => {
    const { page, faults } = await enter('/dashboard/findings');
    const list = page.getByRole('list', { name: 'Findings' });
    await list
      .getByRole('link', { name: /^Made up: / })
      .first()
      .waitFor();
    await list.getByRole('link', { name: 'Its flows' }).first().click();
    await page.waitForURL(/dashboard\/network\?/);
    await page.goto('/dashboard/network');
    await map(page)
      .getByRole('option', { name: /finding/ })
      .first()
      .waitFor();
    await page.getByRole('tab', { name: 'Findings' }).click();
    await page.getByRole('list', { name: 'Findings' }).waitFor();
    expect(faults).toEqual([]);
  });

  it('says what is wrong with a query, in its place, and what there is nothing of', async () => {
    const { page } = await enter('/dashboard/network?q=app:ssh%20proces.name:x');
    const alert = page.getByRole('alert');
    await alert.waitFor();
    expect(await alert.textContent()).toContain('at character 9');
    await page.goto('/dashboard/network?q=app:=nothing');
    await page.getByText('No flow matches in this time range').waitFor();
    await page.goto('/dashboard/network?from=2020-01-01T00:00:00Z&to=2020-01-01T01:00:00Z');
    await page.getByText('No flow ended in this time range').waitFor();
  });

  it('draws the pairs of 100,000 flows, and moves them', { timeout: 120_000 }, async () => {
    const { page } = await enter('/dashboard/network?tab=flows');
    await page.route(/\/api\/query\/rows\?.*network\.direction/, (route) =>
      route.fulfill({ json: manyPairs() }),
    );
    await page.getByRole('tab', { name: 'Map' }).click();
    await map(page)
      .getByRole('option', { name: /^other hosts/ })
      .waitFor();
    const box = await map(page).boundingBox();
    expect(box).not.toBeNull();
    const { x = 0, y = 0, width = 0 } = box ?? {};
    await page.mouse.move(x + width / 2, y + 20);
    await page.mouse.down();
    // A move each frame: what lies between two frames is what one takes.
    const seconds = await map(page).evaluate(
      (svg, from) =>
        new Promise<{ median: number; worst: number; count: number }>((done) => {
          const gaps: number[] = [];
          let last = performance.now();
          const next = (time: number) => {
            gaps.push(time - last);
            last = time;
            const at = { clientX: from.x + gaps.length * 2, clientY: from.y + (gaps.length % 60) };
            svg.dispatchEvent(new PointerEvent('pointermove', { ...at, pointerId: 1, bubbles: true }));
            if (gaps.length < 120) return requestAnimationFrame(next);
            gaps.sort((a, b) => a - b);
            done({ median: gaps[60] ?? 0, worst: gaps.at(-1) ?? 0, count: gaps.length });
          };
          requestAnimationFrame(next);
        }),
      { x: x + width / 2, y: y + 20 },
    );
    const held = await map(page).locator('g').first().getAttribute('transform');
    await page.mouse.up();
    // What was pulled stays where it was let go.
    await expect.poll(() => map(page).locator('g').first().getAttribute('transform')).not.toBe(held);
    console.log(
      `map of 100,000 flows while it is moved: median frame ${seconds.median.toFixed(1)} ms, worst ${seconds.worst.toFixed(0)} ms, of ${seconds.count}`,
    );
    expect(await map(page).getByRole('option').count()).toBeLessThanOrEqual(200);
  });

  it('is sound for axe in both themes, and no wider than any window', { timeout: 240_000 }, async () => {
    const found: Record<string, string[]> = {};
    for (const which of ['wide', 'narrow'] as const) {
      const { page } = await stage.enter('/dashboard/network', viewOf(which));
      await map(page).getByRole('option').first().waitFor();
      await ended(page).locator('.row').first().waitFor();
      Object.assign(found, await look(page, 'network', which));
      // Of a list without an end only what is in sight is drawn, in a small window too.
      await page.goto('/dashboard/network?tab=flows');
      await ended(page).locator('.row').first().waitFor();
      const { height } = page.viewportSize() ?? { height: 0 };
      expect((await ended(page).boundingBox())?.height).toBeLessThan(height);
      await page.goto('/dashboard/network?tab=tls');
      await page.getByRole('region').getByRole('button').first().waitFor();
      Object.assign(found, await look(page, 'network-tls', which));
      await page.goto('/dashboard/findings');
      await page.getByRole('list', { name: 'Findings' }).waitFor();
      Object.assign(found, await look(page, 'findings', which));
    }
    expect(found).toEqual({});
  });

  it('says that the store is away, and is whole again by itself', async () => {
    const { page } = await enter('/dashboard/network?tab=apps');
    await page
      .getByRole('region', { name: 'Applications', exact: true })
      .getByRole('button')
      .first()
      .waitFor();
    const away = { status: 503, headers: { 'Retry-After': '1' }, contentType: 'application/problem+json' };
    const body = JSON.stringify({ status: 503, detail: 'the store does not answer', away: 'store' });
    await page.route(/\/api\/(events|query)\b/, (route) => route.fulfill({ ...away, body }));
    await page.reload();
    await page.getByText('The store is away').first().waitFor();
    await shot(page, 'network-away-dark');
    expect(await axe(page)).toEqual([]);
    await page.unroute(/\/api\/(events|query)\b/);
    await page
      .getByRole('region', { name: 'Applications', exact: true })
      .getByRole('button')
      .first()
      .waitFor();
    await ended(page).locator('.row').first().waitFor();
  });
});

/** What the store would answer of 100,000 flows between 2,000 pairs. */
function manyPairs() {
  const columns = ['source.ip', 'destination.ip', 'network.direction', 'flows', 'bytes'];
  const rows = Array.from({ length: 2000 }, (_, at) => [
    `10.0.${at % 7}.${at % 250}`,
    `198.${18 + (at % 2)}.${at % 251}.${(at * 7) % 250}`,
    'outbound',
    '50',
    String(1_000_000 - at * 3),
  ]);
  return { columns, rows, more: false, took_ms: 12, complete_to_offset: 0, lacks: [], thinned: false };
}
