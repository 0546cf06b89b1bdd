import { describe, expect, it } from 'vitest';
import { fakeUser } from '../fake/server';
import { hasChromium, need, openTab, signInByForm } from './support/browser';
import { useFake } from './support/fake';

describe.skipIf(!need(hasChromium, 'Chromium'))('Overview', () => {
  const stage = useFake({ history: 5000, agents: 24 });

  it('leads from what is wrong to the evidence in two clicks', async () => {
    const { page } = await stage.tab();
    const attention = page.getByRole('list', { name: 'Needs attention' });
    await attention.waitFor();
    expect(await attention.textContent()).toContain('proc_agent on edge-01 has crashed: exit status 2');
    await attention.getByRole('link', { name: 'Show it' }).first().click();
    await page.waitForURL('**/dashboard/agents?agent=edge-01%2Fproc_agent');
    await page.getByText('unknown key "monitring"').last().waitFor();
  });

  it('is calm when all is well', async () => {
    stage.fake.world.agents = stage.fake.world.agents.filter((agent) => agent.health === 'green');
    const { page } = await stage.tab();
    await page.getByText('all running').waitFor();
    expect(await page.getByRole('list', { name: 'Needs attention' }).count()).toBe(0);
    await page.getByText('from alert rules over metrics').waitFor();
  });

  it('shows a log that is full', async () => {
    stage.fake.world.logState = 'full';
    const { page } = await stage.tab();
    await page.getByText('The log is full: no space left on device (213 GB free)').waitFor();
  });

  it('shows charts in words, as tables, and a line alone', async () => {
    const { page } = await stage.tab();
    const chart = page.getByRole('img', { name: /^Events per second by type\. process\.sample: .*between/ });
    await chart.waitFor();
    const alone = page.getByRole('button', { name: /^process\.exit/ });
    await alone.click();
    expect(await alone.getAttribute('aria-pressed')).toBe('true');
    await page.getByRole('img', { name: /^Events per second by type\. process\.exit/ }).waitFor();
    await page.getByRole('button', { name: 'Hub queue: show as a table' }).click();
    const table = page.getByRole('region', { name: 'Hub queue, as a table' });
    expect(await table.getByRole('row').count()).toBeGreaterThan(50);
  });

  it('zooms all charts by dragging and goes back by double click', async () => {
    const { page } = await stage.tab();
    const plot = page.locator('.u-over').first();
    await plot.waitFor();
    const box = await plot.boundingBox();
    if (!box) throw new Error('the plot has no size');
    await page.mouse.move(box.x + box.width * 0.5, box.y + 50);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.75, box.y + 60, { steps: 5 });
    await page.mouse.up();
    await page.waitForURL(/from=.*&to=/);
    await page.getByRole('button', { name: 'Back to a range that ends now' }).waitFor();
    await page.locator('.u-over').first().dblclick();
    await page.waitForURL((url) => !url.search.includes('from='));
  });

  it('follows what comes', async () => {
    const { page } = await stage.tab();
    const total = page.getByText(/now, .* since its start$/);
    const before = await total.textContent();
    await page.waitForFunction((old) => !document.body.textContent?.includes(old ?? ''), before);
  });

  it('shows grey rows while it waits, what failed, and takes another try', async () => {
    stage.fake.delay = 600;
    stage.fake.failing.add('/api/overview');
    // By the form: a page that is opened anew asks for all at once, and has the
    // answer as soon as it knows who is there.
    const { page } = await openTab(stage.browser, stage.fake.address);
    await signInByForm(page, fakeUser.name, fakeUser.password, '/dashboard');
    await page.getByRole('status', { name: 'Loading the state of the hub' }).waitFor();
    await page.getByText('The state of the hub could not be read').waitFor();
    await page.getByText('connection refused').waitFor();
    stage.fake.failing.clear();
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.getByRole('list', { name: 'State of the system' }).waitFor();
  });

  it('says which part failed when the rest is there', async () => {
    stage.fake.failing.add('/api/series');
    const { page } = await stage.tab();
    await page.getByText('Part of this page could not be loaded').waitFor();
  });
});

describe.skipIf(!hasChromium)('Overview of an empty system', () => {
  const stage = useFake({ history: 0, agents: 0 });

  it('says what will be there', async () => {
    const { page, faults } = await stage.tab();
    await page.getByText('none yet').waitFor();
    await page.getByText('No process readings at the end').waitFor();
    await page.getByText('No events yet. They appear here').waitFor();
    expect(faults).toEqual([]);
  });
});
