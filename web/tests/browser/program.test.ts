import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, describe, expect, it } from 'vitest';
import { look, viewOf } from './support/axe';
import { hasChromium, need, openTab, shot, signIn } from './support/browser';
import { hasProgram } from './support/program';
import { useProgram } from './support/real';

const ready = need(hasChromium, 'Chromium') && need(hasProgram, 'bin/amoskys (run make build)');

// The whole system, as people run it: hub, log, dashboard, node and agents.
describe.skipIf(!ready)('the real program', () => {
  const stage = useProgram();
  const { enter } = stage;
  const children: ChildProcess[] = [];
  afterAll(() => {
    for (const child of children) child.kill();
  });

  /** Runs a program of a name that nothing else has. */
  const run = async (name: string) => {
    const path = join(await mkdtemp(join(tmpdir(), 'amoskys-run-')), name);
    await symlink('/bin/sleep', path);
    const child = spawn(path, ['120']);
    children.push(child);
    return child;
  };

  const agentOf = async (page: Page, id: string) =>
    page.evaluate(async (wanted) => {
      const answer = (await (await fetch('/api/agents/status')).json()) as {
        agents: { id: string; state: string; pid: number }[];
      };
      return answer.agents.find((agent) => agent.id === wanted);
    }, id);

  it('refuses a wrong password, and takes the right one', async () => {
    const { page } = await openTab(stage.browser, stage.program.address);
    await page.goto('/dashboard');
    await page.getByLabel('Name').fill(stage.program.user);
    await page.getByLabel('Password').fill('not this');
    await page.keyboard.press('Enter');
    await page.getByText('That name and password do not match').waitFor();
    await page.getByLabel('Password').fill(stage.program.password);
    await page.keyboard.press('Enter');
    await page.locator('main#page').waitFor();
  });

  it('shows a process of this machine while one looks', async () => {
    const { page, faults } = await enter('/dashboard/events?q=canary');
    await page.getByRole('button', { name: 'Live' }).waitFor();
    const child = await run(`canary-${process.pid}`);
    const row = page.getByRole('row').filter({ hasText: `canary-${process.pid}` });
    await row.filter({ hasText: 'process.execution' }).first().click();
    await page.getByRole('tabpanel').getByText(String(child.pid), { exact: true }).first().waitFor();
    await page.getByRole('tab', { name: 'Raw JSON' }).click();
    await page.getByRole('tabpanel').getByText('"type": "process.execution"').waitFor();
    const link = page.url();
    child.kill();
    await page.getByRole('button', { name: /new|Paused/ }).click();
    await page.getByRole('row').filter({ hasText: 'process.exit' }).first().waitFor();

    // The address alone brings it all back.
    await page.goto('/dashboard');
    await page.goto(link);
    await page.getByRole('tabpanel').getByText('"type": "process.execution"').waitFor();
    expect(faults).toEqual([]);
  });

  it('marks what is wrong with a query, in its place', async () => {
    const { page } = await enter('/dashboard/events?q=host:=x%20AND%20proces.name:sshd');
    const alert = page.getByRole('alert');
    await alert.waitFor();
    expect(await alert.textContent()).toContain('process.name');
    expect(await alert.textContent()).toContain('at character 13');
  });

  it('stops and starts a real agent', async () => {
    const { page } = await enter('/dashboard/agents');
    const row = page.getByRole('row').filter({ hasText: 'synth_agent' });
    await row.getByText('running', { exact: true }).waitFor();
    const before = await agentOf(page, 'synth_agent');
    expect(before?.pid).toBeGreaterThan(0);
    await row.getByRole('button', { name: /^Stop/ }).click();
    await page.getByRole('button', { name: 'Stop synth_agent', exact: true }).click();
    await row.getByText('stopped', { exact: true }).waitFor();
    expect(() => process.kill(before?.pid ?? 0, 0)).toThrow(/ESRCH/);
    expect((await agentOf(page, 'synth_agent'))?.state).toBe('stopped');

    await row.getByRole('button', { name: /^Start/ }).click();
    await row.getByText('running', { exact: true }).waitFor();
    const after = await agentOf(page, 'synth_agent');
    expect(after?.state).toBe('running');
    expect(after?.pid).not.toBe(before?.pid);
    expect(process.kill(after?.pid ?? 0, 0)).toBe(true);

    await row.getByRole('button', { name: /^Logs/ }).click();
    await page
      .getByRole('log')
      .getByText(/synth_agent/)
      .first()
      .waitFor();
  });

  it('shows a viewer what they may not do, and why', async () => {
    const password = await stage.program.addUser('vera', 'viewer');
    const { page } = await openTab(stage.browser, stage.program.address);
    await signIn(page, 'vera', password, '/dashboard/agents');
    const stop = page
      .getByRole('row')
      .filter({ hasText: 'synth_agent' })
      .getByRole('button', { name: /^Stop/ });
    await stop.waitFor();
    expect(await stop.getAttribute('aria-disabled')).toBe('true');
    expect(await stop.getAttribute('title')).toBe('Needs the role admin; you are viewer');
    await stop.click({ force: true });
    expect(await page.getByRole('dialog').count()).toBe(0);
    await page.getByRole('row').filter({ hasText: 'synth_agent' }).getByText('synth_agent').click();
    await page.getByRole('tab', { name: 'Tasks' }).click();
    await page.getByText('To run these: needs the role analyst; you are viewer.').waitFor();
    expect(await page.getByRole('button', { name: 'Run', exact: true }).first().isDisabled()).toBe(true);
    // Whoever asks without the page is refused all the same.
    const code = await page.evaluate(async () => {
      const session = (await (await fetch('/api/session')).json()) as { csrf_token: string };
      const headers = { 'X-CSRF-Token': session.csrf_token };
      return (await fetch('/api/agents/synth_agent/stop', { method: 'POST', headers })).status;
    });
    expect(code).toBe(403);
    await page.goto('/dashboard/events');
    await page.locator('main#page .row').first().waitFor();
  });

  it('is light: at most 90 kB of JavaScript until Overview is shown', async () => {
    const { page } = await enter();
    await page.goto('/dashboard');
    await page.locator('.u-over').first().waitFor({ state: 'attached' });
    const bytes = await page.evaluate(() =>
      (performance.getEntriesByType('resource') as PerformanceResourceTiming[])
        .filter((each) => each.name.endsWith('.js'))
        .reduce((sum, each) => sum + each.encodedBodySize, 0),
    );
    console.log(`first load of Overview: ${(bytes / 1000).toFixed(1)} kB of JavaScript`);
    expect(bytes).toBeGreaterThan(10_000);
    expect(bytes).toBeLessThanOrEqual(90_000);
  });

  it('has pages that axe finds nothing on, in both themes', async () => {
    const { page, faults } = await enter('/dashboard', viewOf('wide'));
    const found: Record<string, string[]> = {};
    for (const path of ['/dashboard', '/dashboard/agents', '/dashboard/events']) {
      await page.goto(path);
      await page.locator('main#page').locator('.row, .u-over').first().waitFor({ state: 'attached' });
      await page.getByText('Live', { exact: true }).first().waitFor();
      Object.assign(found, await look(page, `real${path.replaceAll('/', '-')}`, 'wide'));
    }
    expect(found).toEqual({});
    expect(faults).toEqual([]);
  });

  it('says so when the hub is gone, and goes on when it is back', async () => {
    const { page } = await enter('/dashboard/events?q=revenant');
    await page.getByRole('button', { name: 'Live' }).waitFor();
    // It comes back within a second: so it is killed until a person would notice.
    const line = page.getByText(/^Not live since/);
    let killed = 0;
    while (!(await line.isVisible())) {
      const hub = stage.program.pidOf('hub');
      if (hub !== killed) process.kill(hub, 'SIGKILL');
      killed = hub;
      await page.waitForTimeout(100);
    }
    await shot(page, 'real-hub-gone');
    await line.waitFor({ state: 'hidden' });
    await run(`revenant-${process.pid}`);
    // Alone in the list: among all that the agents had kept meanwhile it might never be
    // in sight.
    await page
      .getByRole('row')
      .filter({ hasText: `revenant-${process.pid}` })
      .first()
      .waitFor({ timeout: 60_000 });
  }, 180_000);
});
