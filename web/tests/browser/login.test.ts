import { describe, expect, it } from 'vitest';
import { fakeUser } from '../fake/server';
import { hasChromium, need, openTab, signInByForm } from './support/browser';
import { useFake } from './support/fake';

describe.skipIf(!need(hasChromium, 'Chromium'))('login', () => {
  const stage = useFake({ history: 500 });

  it('keeps strangers out, and says when a password is wrong', async () => {
    const { page, context } = await openTab(stage.browser, stage.fake.address);
    await page.goto('/dashboard');
    await page.waitForURL('**/login');
    await page.getByLabel('Name').fill('admin');
    await page.getByLabel('Password').fill('guess');
    await page.keyboard.press('Enter');
    const alert = page.getByRole('alert');
    await alert.waitFor();
    expect(await alert.textContent()).toContain('do not match');
    expect(await page.getByLabel('Password').getAttribute('aria-invalid')).toBe('true');
    await context.close();
  });

  it('leads back to where one wanted to go', async () => {
    const { page, context } = await openTab(stage.browser, stage.fake.address);
    await signInByForm(page, fakeUser.name, fakeUser.password, '/dashboard/events?q=sshd&range=1h');
    expect(new URL(page.url()).search).toBe('?q=sshd&range=1h');
    expect(await page.getByRole('combobox', { name: 'Query' }).inputValue()).toBe('sshd');
    await context.close();
  });

  it('does not lead to another site', async () => {
    const { page, context } = await openTab(stage.browser, stage.fake.address);
    await signInByForm(page, fakeUser.name, fakeUser.password, '/login?next=//evil.example/dashboard');
    expect(new URL(page.url()).pathname).toBe('/dashboard');
    await context.close();
  });

  it('signs out', async () => {
    const { page } = await stage.tab();
    await page.getByLabel('You and this browser').first().click();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('button', { name: 'Sign in' }).waitFor();
    await page.goto('/dashboard/agents');
    await page.waitForURL('**/login?next=*');
  });

  it('goes to the login page when the session ends', async () => {
    const { page, context } = await stage.tab('/dashboard/agents');
    await page.getByRole('grid').waitFor();
    await context.clearCookies();
    await page.keyboard.press('g');
    await page.keyboard.press('e');
    await page.getByRole('button', { name: 'Sign in' }).waitFor();
    expect(new URL(page.url()).searchParams.get('next')).toContain('/dashboard/events');
  });
});
