import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { axe } from './support/axe';
import { hasChromium, need, openTab, shot, signIn } from './support/browser';
import { hasProgram } from './support/program';
import { useProgram } from './support/real';

const ready = need(hasChromium, 'Chromium') && need(hasProgram, 'bin/amoskys (run make build)');
const pages = ['/dashboard', '/dashboard/agents', '/dashboard/events'];

// What the page says while parts of the real system are killed, stopped or gone.
describe.skipIf(!ready)('the page tells the truth', () => {
  // Away after six seconds, silent after twelve.
  const stage = useProgram('fleet: {silent_host_minutes: 0.2}');
  const enter = (path: string) => stage.enter(path, { width: 1440 });
  const staleLine = (page: Page) =>
    page.getByRole('status').filter({ hasText: /Not live since \d\d:\d\d:\d\d/ });
  const shots = async (page: Page, name: string) => {
    await shot(page, `truth-${name}-dark-1440`);
    await shot(page, `truth-${name}-light-390`, { scheme: 'light', width: 390 });
  };
  /** Kills a role again and again, as up starts it again, until done. */
  const keepDown = async (page: Page, role: 'dashboard' | 'node', done: () => Promise<boolean>) => {
    for (let killed = 0; !(await done()); await page.waitForTimeout(100)) {
      const pid = stage.program.pidOf(role);
      if (pid === killed) continue;
      process.kill(pid, 'SIGKILL');
      killed = pid;
    }
  };

  it.each([-20, 20])('draws its charts in a browser whose clock is %d minutes off', async (minutes) => {
    const { program } = stage;
    const { page } = await openTab(stage.browser, program.address, { width: 1440 });
    await page.addInitScript((off) => {
      const real = Date;
      globalThis.Date = class extends real {
        constructor(...given: unknown[]) {
          super(...((given.length ? given : [real.now() + off]) as []));
        }
        static override now = () => real.now() + off;
      } as DateConstructor;
    }, minutes * 60_000);
    await signIn(page, program.user, program.password, '/dashboard?range=5m');
    // Coloured points left of the line that marks the present.
    const drawn = () =>
      page.evaluate(() => {
        const canvas = document.querySelector<HTMLCanvasElement>('.u-wrap canvas');
        const ink =
          canvas?.getContext('2d')?.getImageData(0, 0, Math.floor(canvas.width * 0.95), canvas.height).data ??
          [];
        let points = 0;
        for (let at = 0; at < ink.length; at += 4) {
          const [red = 0, green = 0, blue = 0] = [ink[at], ink[at + 1], ink[at + 2]];
          if (ink[at + 3] && Math.max(red, green, blue) - Math.min(red, green, blue) > 60) points += 1;
        }
        return points;
      });
    await expect
      .poll(async () => (await page.getByRole('button', { name: /^Time range/ }).isVisible()) && drawn(), {
        timeout: 20_000,
      })
      .toBeGreaterThan(20);
    expect(await page.locator('main time').first().textContent()).toMatch(/^(now|\d+ s ago)$/);
  });

  it('goes on when the dashboard was killed, with all that was shown', async () => {
    const { page } = await enter('/dashboard/events');
    await page.getByRole('grid').waitFor();
    const rows = page.locator('[role="grid"] .row');
    await rows.first().waitFor();
    // The other pages' code comes once this one is there.
    await page.waitForFunction(() =>
      performance
        .getEntriesByType('resource')
        .some(
          ({ name, ...entry }) =>
            /\/Agents-/.test(name) && (entry as { responseEnd?: number }).responseEnd !== 0,
        ),
    );
    await page.evaluate(() => {
      (globalThis as { tab?: string }).tab = 'the same';
    });
    await keepDown(page, 'dashboard', () => staleLine(page).isVisible());
    expect(await staleLine(page).textContent()).toContain('the dashboard does not answer');
    expect(await rows.count()).toBeGreaterThan(0);
    await page.getByText('Hub unknown').first().waitFor();
    await shots(page, 'dashboard-killed');
    // Another page opens all the same, with what is known.
    await page.keyboard.press('g');
    await page.keyboard.press('a');
    await page.getByRole('heading', { name: 'Agents' }).waitFor();
    await staleLine(page).waitFor({ state: 'hidden', timeout: 40_000 });
    await page
      .getByRole('row')
      .filter({ hasText: 'proc_agent' })
      .getByText('running', { exact: true })
      .waitFor();
    await page.goBack();
    await rows.first().waitFor();
    expect(await page.evaluate(() => (globalThis as { tab?: string }).tab)).toBe('the same');
  });

  it('sees soon, on every page, that the hub hangs', async () => {
    const { page: overview, context } = await enter('/dashboard');
    const tabs = [overview, await context.newPage(), await context.newPage()];
    await Promise.all(tabs.slice(1).map((page, index) => page.goto(pages[index + 1] ?? '')));
    for (const page of tabs)
      await page.locator('main#page').locator('.row, .u-over').first().waitFor({ state: 'attached' });
    await overview.getByText('all running').waitFor();
    const hub = stage.program.pidOf('hub');
    process.kill(hub, 'SIGSTOP');
    const stopped = performance.now();
    try {
      // Five seconds on a machine at rest; this one may be busy.
      await Promise.all(tabs.map((page) => staleLine(page).waitFor({ timeout: 20_000 })));
      console.log(`every page says so after ${Math.round(performance.now() - stopped)} ms`);
      for (const page of tabs) {
        expect(await staleLine(page).textContent()).toContain('does not answer');
        await page.getByText('Hub unreachable').first().waitFor();
        expect(await page.locator('main .mark.ok, main .ok').count()).toBe(0);
        expect(await page.locator('main').textContent()).not.toMatch(/none yet|No host has sent|0 of 0/);
        await shots(page, `hub-hangs-${pages[tabs.indexOf(page)]?.split('/').at(-1)}`);
      }
      expect(await axe(tabs[1] as Page)).toEqual([]);
      // A tab that is opened now shows what the dashboard still knows, as old.
      const late = await context.newPage();
      await late.goto('/dashboard');
      await late.getByText('unreachable', { exact: true }).waitFor();
    } finally {
      process.kill(hub, 'SIGCONT');
    }
    await Promise.all(tabs.map((page) => staleLine(page).waitFor({ state: 'hidden', timeout: 15_000 })));
    await overview.getByText('all running').waitFor();
  });

  it('raises an alarm for a host that is gone, and forgets it on demand', async () => {
    const { page } = await enter('/dashboard/agents');
    const host = page.locator('.host-row').first();
    await host
      .getByText(/running/)
      .first()
      .waitFor();
    const seen = new Set<string>();
    const alarm = page.getByText(/^Host \S+ is silent: last seen/);
    // Its node stays down till the end, or the button goes with its return.
    let over = false;
    const down = keepDown(page, 'node', async () => {
      for (const word of ['reconnecting', 'away', 'silent'])
        if (await host.getByText(word, { exact: true }).isVisible()) seen.add(word);
      return over;
    });
    try {
      await alarm.waitFor({ timeout: 60_000 });
      // The line and the rows come by topics of their own.
      await host.getByText('silent', { exact: true }).waitFor();
      expect(seen.has('away')).toBe(true);
      await page.locator('nav .badge').filter({ hasText: 'host silent' }).waitFor();
      await shots(page, 'host-silent');
      await page.getByRole('link', { name: 'Show it' }).click();
      await page.waitForURL('**/dashboard/agents?q=*');
      await host.getByRole('button', { name: /^Forget/ }).click();
      await page
        .getByRole('button', { name: /^Forget \S+$/ })
        .last()
        .click();
      await Promise.race([
        alarm.waitFor({ state: 'hidden', timeout: 30_000 }),
        page.getByText(/is connected/).waitFor(),
      ]);
    } finally {
      over = true;
      await down;
    }
  });

  it('shows that an agent crashed, with its last exit and its log', async () => {
    const { page } = await enter('/dashboard/agents');
    const row = page.getByRole('row').filter({ hasText: 'synth_agent' });
    await row.getByText('running', { exact: true }).waitFor({ timeout: 60_000 });
    const pid = await page.evaluate(async () => {
      const answer = (await (await fetch('/api/agents/status')).json()) as {
        agents: { id: string; pid: number }[];
      };
      return answer.agents.find((agent) => agent.id === 'synth_agent')?.pid ?? 0;
    });
    process.kill(pid, 'SIGKILL');
    await row
      .getByRole('link', { name: /Crashed .* and runs again \(1 restart\): killed by signal SIGKILL/ })
      .click();
    await page.getByRole('log').waitFor();
    await page.getByRole('tab', { name: 'Facts' }).click();
    await page
      .getByRole('tabpanel')
      .getByText(/killed by signal SIGKILL/)
      .waitFor();
    await shots(page, 'crash');
  });
});
