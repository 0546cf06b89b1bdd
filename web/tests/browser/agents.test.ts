import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { hasChromium, need } from './support/browser';
import { useFake } from './support/fake';

describe.skipIf(!need(hasChromium, 'Chromium'))('Agents', () => {
  const stage = useFake({ history: 1000, agents: 8 });

  it('stops an agent after asking once, and starts it again', async () => {
    const { page } = await stage.tab('/dashboard/agents');
    await page.getByRole('button', { name: 'Stop proc_agent on web-01', exact: true }).click();
    const dialog = page.getByRole('dialog');
    expect(await dialog.textContent()).toContain('Nothing more will be observed by it on web-01');
    await page.keyboard.press('Escape');
    expect(stage.fake.world.agents[0]?.state).toBe('running');

    await page.getByRole('button', { name: 'Stop proc_agent on web-01', exact: true }).click();
    await page.getByRole('button', { name: 'Stop proc_agent', exact: true }).click();
    await page.getByText('proc_agent on web-01 stopped').first().waitFor();
    await page.getByRole('button', { name: 'Start proc_agent on web-01', exact: true }).click();
    await page.getByText('proc_agent on web-01 started').waitFor();
    await page.getByRole('button', { name: 'Stop proc_agent on web-01', exact: true }).waitFor();
  });

  it('shows what is expected at once, rolls back a failure and says why', async () => {
    stage.fake.delay = 400;
    stage.fake.world.refuse = 'the node of web-01 is not connected';
    const { page } = await stage.tab('/dashboard/agents?flat=1');
    const row = page.getByRole('row').filter({ hasText: 'proc_agent on web-01' });
    await row.getByRole('button', { name: /^Restart/ }).click();
    await row.getByText('starting').waitFor();
    await page
      .getByText('Could not restart proc_agent on web-01: the node of web-01 is not connected')
      .waitFor();
    await row.getByText('running').waitFor();
  });

  it('keeps its state in the address', async () => {
    const { page } = await stage.tab('/dashboard/agents');
    await page.getByLabel('Filter agents').fill('db');
    await page.getByRole('button', { name: 'CPU', exact: true }).click();
    await page.getByRole('row').filter({ hasText: 'proc_agent' }).first().click();
    await page.waitForURL(/q=db&sort=cpu&agent=db-01%2Fproc_agent/);
    await page.reload();
    await page.getByRole('complementary', { name: 'proc_agent on db-01' }).waitFor();
    expect(await page.getByLabel('Filter agents').inputValue()).toBe('db');
    expect(await page.getByRole('columnheader', { name: /^CPU/ }).getAttribute('aria-sort')).toBe(
      'ascending',
    );
    await page.goBack();
    await page.getByRole('complementary', { name: 'proc_agent on db-01' }).waitFor({ state: 'hidden' });
  });

  it('asks for tasks once and keeps what is typed, while figures change', async () => {
    const { page } = await stage.tab('/dashboard/agents?agent=web-01%2Fproc_agent&tab=tasks');
    let asked = 0;
    await page.route(/\/api\/agents\/proc_agent\/tasks/, (route) => {
      asked += 1;
      const parameters = [{ name: 'measure', type: 'duration', default: '1s', required: false, summary: '' }];
      return route.fulfill({ json: { tasks: [{ name: 'snapshot', summary: '', parameters }] } });
    });
    await page.reload();
    await page.getByRole('textbox', { name: 'measure' }).fill('5s');
    await page.waitForTimeout(2500); // two beats of the agents' figures
    expect(await page.getByRole('textbox', { name: 'measure' }).inputValue()).toBe('5s');
    expect(asked).toBe(1);
  });

  it('shows no figures of an agent run by hand, which are not known', async () => {
    const agent = stage.fake.world.agents[0];
    if (!agent) throw new Error('there are no agents');
    Object.assign(agent, { unsupervised: true, events_total: 0, rss_bytes: 0, certificate_ends_at: null });
    const { page } = await stage.tab('/dashboard/agents?flat=1&agent=web-01%2Fproc_agent');
    const panel = page.getByRole('complementary', { name: 'proc_agent on web-01' });
    await panel.getByText('none: run by hand').waitFor();
    for (const name of ['Last event', 'Certificate ends', 'Events', 'Memory', 'Restarts'])
      expect(await panel.getByText(name, { exact: true }).count()).toBe(0);
    const row = page.getByRole('row').filter({ hasText: 'proc_agent on web-01' });
    expect(await row.textContent()).not.toMatch(/0 B|%|never/);
  });

  it('works by keyboard alone', async () => {
    const { page } = await stage.tab('/dashboard/agents?flat=1');
    await page.getByRole('grid').waitFor();
    await page.keyboard.press('/');
    await page.keyboard.type('eventbus');
    await page.keyboard.press('Escape');
    await page.keyboard.press('j');
    await page.keyboard.press('j');
    await page.keyboard.press('k');
    await page.keyboard.press('Enter');
    await page.getByRole('complementary').waitFor();
    expect(await page.getByRole('complementary').getAttribute('aria-label')).toMatch(/^eventbus on/);
    await page.keyboard.press('Escape');
    await page.getByRole('complementary').waitFor({ state: 'hidden' });
  });

  it('presses buttons by Enter while a row is active', async () => {
    const { page } = await stage.tab('/dashboard/agents?flat=1');
    await page.getByRole('grid').waitFor();
    await page.keyboard.press('j');
    await page.getByRole('button', { name: 'Stop proc_agent on web-01', exact: true }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').waitFor();
    await page.keyboard.press('Enter');
    await page.getByText('proc_agent on web-01 stopped').first().waitFor();
    expect(await page.getByRole('complementary').count()).toBe(0);
  });

  it('hands over what is shown, with the columns chosen', async () => {
    const { page } = await stage.tab('/dashboard/agents?q=web&cols=id,state,rate');
    await page.getByRole('grid').waitFor();
    expect(await page.getByRole('columnheader').count()).toBe(4);
    const download = page.waitForEvent('download');
    await page.getByRole('button', { name: 'Export' }).click();
    await page.getByRole('button', { name: /^CSV/ }).click();
    const lines = (await readFile(await (await download).path(), 'utf8')).trim().split('\r\n');
    expect(lines[0]).toBe('state,id,rate');
    expect(lines.filter((line) => /^running,web-01\/proc_agent,[\d.]+$/.test(line))).toHaveLength(1);
  });

  it('lets a viewer look and not touch', async () => {
    stage.fake.world.role = 'viewer';
    const { page } = await stage.tab('/dashboard/agents');
    const stop = page.getByRole('button', { name: 'Stop proc_agent on web-01', exact: true });
    await stop.waitFor();
    expect(await stop.getAttribute('aria-disabled')).toBe('true');
    expect(await stop.getAttribute('title')).toContain('Needs the role admin');
    await stop.click({ force: true });
    expect(await page.getByRole('dialog').count()).toBe(0);
    await page.getByRole('button', { name: 'Logs of proc_agent on web-01' }).click();
    await page.getByRole('log').waitFor();
  });

  it('says what failed and takes another try', async () => {
    stage.fake.failing.add('/api/agents/status');
    stage.fake.cutLive(false);
    const { page } = await stage.tab('/dashboard/agents');
    await page.getByText('The agents could not be read').waitFor();
    stage.fake.failing.clear();
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.getByRole('grid').waitFor();
  });

  it('says when nothing matches', async () => {
    const { page } = await stage.tab('/dashboard/agents?q=nothing-like-it');
    await page.getByText('No agent matches').waitFor();
    await page.getByRole('button', { name: 'Show all agents' }).click();
    await page.getByRole('grid').waitFor();
  });
});

describe.skipIf(!hasChromium)('Agents of an empty system', () => {
  const stage = useFake({ history: 0, agents: 0 });

  it('gives the command that makes it otherwise', async () => {
    const { page } = await stage.tab('/dashboard/agents');
    await page.getByText('No agent has reported yet').waitFor();
    await page.getByRole('button', { name: 'Copy amoskys up' }).click();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe('amoskys up');
  });
});
