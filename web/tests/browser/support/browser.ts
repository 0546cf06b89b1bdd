import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import type { TestContext } from 'vitest';

/** The shell has no windows and no menus, and takes half the time. */
const installed = ['/usr/bin/chromium-headless-shell', '/usr/bin/chromium'];
const executable = process.env.CHROMIUM ?? installed.find((path) => existsSync(path)) ?? '/usr/bin/chromium';
const shots = fileURLToPath(new URL('../shots/', import.meta.url));
/** Pictures to look at are taken when SHOTS=1 asks for them; of a failure there always is one. */
const wanted = Boolean(process.env.SHOTS);

export const hasChromium = existsSync(executable);

/** In CI nothing may be skipped: what is missing is then a failure. */
export function need(present: boolean, what: string): boolean {
  if (!present && process.env.CI) throw new Error(`${what} is missing, and CI may not skip`);
  if (!present) console.log(`skipped: ${what} is missing`);
  return present;
}

export function launch(): Promise<Browser> {
  return chromium.launch({
    executablePath: executable,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

let shared: Promise<Browser> | undefined;

/** The one Chromium of this process, for all its files: it ends when the process does. */
export async function sharedBrowser(): Promise<Browser> {
  if (!(await shared?.catch(() => null))?.isConnected()) shared = launch();
  return shared as Promise<Browser>;
}

export type Scheme = 'dark' | 'light';

export interface View {
  width?: number;
  height?: number;
  scheme?: Scheme;
}

export interface Tab {
  context: BrowserContext;
  page: Page;
  /** What the page complained of: script errors and refused resources. */
  faults: string[];
}

const open = new Set<Tab>();

/** A fresh browser profile at an address; faults are gathered from the start. */
export async function openTab(browser: Browser, base: string, view: View = {}): Promise<Tab> {
  const context = await browser.newContext({
    baseURL: base,
    viewport: { width: view.width ?? 1280, height: view.height ?? 800 },
    colorScheme: view.scheme ?? 'dark',
    reducedMotion: 'reduce',
    permissions: ['clipboard-read', 'clipboard-write'],
  });
  const page = await context.newPage();
  const faults: string[] = [];
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error' && !/status of (401|400|403|404|409|429|503)/.test(message.text()))
      faults.push(message.text());
  });
  const tab = { context, page, faults };
  open.add(tab);
  context.on('close', () => open.delete(tab));
  return tab;
}

/** Closes what a test left open. Of a failed one it first keeps pictures and says what was seen. */
export async function closeTabs({ task }: TestContext): Promise<void> {
  for (const { context, faults } of [...open]) {
    if (task.result?.state === 'fail')
      for (const page of context.pages()) await tell(page, `failed-${task.name}`, faults);
    await context.close();
  }
}

/** A picture of a page, and its address and words, for whoever has only the log. */
async function tell(page: Page, name: string, faults: readonly string[]): Promise<void> {
  const path = await picture(page, name).catch((error) => `none: ${error}`);
  const words = await page
    .locator('body')
    .ariaSnapshot({ timeout: 5000 })
    .catch((error) => String(error));
  console.log(
    `at ${page.url()}\npicture: ${path}\nfaults: ${faults.join('\n') || 'none'}\nit read:\n${words.slice(0, 1500)}`,
  );
}

/** Signs in and goes to a path. The form is for login.test.ts to look at. */
export async function signIn(page: Page, name: string, password: string, path = '/dashboard'): Promise<void> {
  const data = { username: name, password };
  const answer = await page.context().request.post('/api/login', { data });
  if (!answer.ok()) throw new Error(`to sign in as ${name} gave ${answer.status()}: ${await answer.text()}`);
  await page.goto(path);
  await page.locator('main#page').waitFor();
}

/** Signs in as people do, where a page leads them to the form. */
export async function signInByForm(page: Page, name: string, password: string, path: string): Promise<void> {
  await page.goto(path);
  await page.getByLabel('Name').fill(name);
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.locator('main#page').waitFor();
}

/** A picture to look at, when such are asked for; the folder is not in git. Of another view, the page comes back to its own. */
export async function shot(page: Page, name: string, view: View = {}): Promise<void> {
  if (!wanted) return;
  const before = page.viewportSize();
  if (view.scheme) await page.emulateMedia({ colorScheme: view.scheme, reducedMotion: 'reduce' });
  if (view.width) await page.setViewportSize({ width: view.width, height: view.height ?? 900 });
  await picture(page, name);
  if (view.scheme) await page.emulateMedia({ colorScheme: 'dark', reducedMotion: 'reduce' });
  if (view.width && before) await page.setViewportSize(before);
}

/** A picture all the same, of what is wrong. */
export async function picture(page: Page, name: string): Promise<string> {
  await mkdir(shots, { recursive: true });
  const path = `${shots}${name.replaceAll(/[^\w.-]+/g, '-').slice(0, 120)}.png`;
  await page.screenshot({ path, timeout: 10_000 });
  return path;
}
