import { describe, expect, it } from 'vitest';
import { axe } from './support/axe';
import { hasChromium, need } from './support/browser';
import { useFake } from './support/fake';

describe.skipIf(!need(hasChromium, 'Chromium'))('Completion', () => {
  const stage = useFake({ history: 2000, agents: 8, eventsPerSecond: 5 });

  it('completes fields, values and pipes by keyboard, and says so to screen readers', async () => {
    const { page, faults } = await stage.tab('/dashboard/events');
    await page.getByRole('grid').waitFor();
    const bar = page.getByRole('combobox', { name: 'Query' });
    await page.keyboard.press('/');
    await page.keyboard.type('ty');
    await page.getByRole('option', { name: /^type:/ }).waitFor();
    expect(await bar.getAttribute('aria-expanded')).toBe('true');
    await page.getByText(/^\d+ suggestions?\./).waitFor({ state: 'attached' });
    expect(await axe(page)).toEqual([]);
    await page.keyboard.press('Tab');
    // Values of the chosen range, with how often they are there.
    await page.getByRole('option', { name: /process\.exit .*events/ }).waitFor();
    await page.keyboard.type('process.exi');
    await page.getByRole('option', { name: /^process\.exit/ }).waitFor();
    await page.keyboard.press('ArrowDown');
    const active = await bar.getAttribute('aria-activedescendant');
    expect(await page.locator(`#${active}`).getAttribute('aria-selected')).toBe('true');
    await page.keyboard.press('Enter');
    await expect.poll(() => bar.inputValue()).toBe('type:=process.exit ');
    await page.keyboard.type('| to');
    await page.getByRole('option', { name: /^top/ }).waitFor();
    await page.keyboard.press('Tab');
    await expect.poll(() => bar.inputValue()).toBe('type:=process.exit | top ');
    await page.keyboard.press('Escape');
    expect(await bar.getAttribute('aria-expanded')).toBe('false');
    expect(faults).toEqual([]);
  });

  it('gives up what was asked for when one types on', async () => {
    const { page } = await stage.tab('/dashboard/events');
    await page.getByRole('grid').waitFor();
    stage.fake.delay = 400;
    const given: string[] = [];
    page.on('requestfailed', (request) => given.push(new URL(request.url()).searchParams.get('query') ?? ''));
    await page.keyboard.press('/');
    await page.keyboard.type('ho', { delay: 120 });
    await page.getByRole('option', { name: /^host:/ }).waitFor();
    expect(given).toContain('h');
  });

  it('completes fields while the store is away, and says what is lacking', async () => {
    stage.fake.world.store.state = 'away';
    const { page } = await stage.tab('/dashboard/events');
    await page.keyboard.press('/');
    await page.keyboard.type('severity:');
    await page.getByRole('option', { name: /^high/ }).waitFor();
    await page.getByText('The store is away: values are those that the language knows').last().waitFor();
    await page.keyboard.press('Escape');
    expect(await axe(page)).toEqual([]);
  });

  it('mends an unknown field with one click', async () => {
    const { page } = await stage.tab('/dashboard/events?q=hots%3Aweb');
    const alert = page.getByRole('alert').filter({ hasText: 'did you mean host?' });
    await alert.waitFor();
    await alert.getByRole('button', { name: 'Write host instead' }).click();
    await page.waitForURL(/q=host%3Aweb/);
    await alert.waitFor({ state: 'detached' });
  });
});
