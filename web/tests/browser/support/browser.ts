import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';

const executable = process.env.CHROMIUM ?? '/usr/bin/chromium';
const axePath = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const shots = fileURLToPath(new URL('../shots/', import.meta.url));

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
  return { context, page, faults };
}

export async function signIn(page: Page, name: string, password: string, path = '/dashboard'): Promise<void> {
  await page.goto(path);
  await page.getByLabel('Name').fill(name);
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.locator('main#page').waitFor();
}

/** Saves a picture to look at; the folder is not in git. */
export async function shot(page: Page, name: string): Promise<void> {
  await mkdir(shots, { recursive: true });
  await page.screenshot({ path: `${shots}${name}.png` });
}

interface AxeResult {
  violations: { id: string; help: string; nodes: { html: string; failureSummary?: string }[] }[];
}

/** What axe finds wrong by WCAG 2.2 AA and its best practices, one line each. */
export async function axe(page: Page): Promise<string[]> {
  // By the debugger, which no content security policy of the page hinders.
  await page.evaluate(await import('node:fs').then((fs) => fs.readFileSync(axePath, 'utf8')));
  const result = await page.evaluate(async () => {
    const { axe: checker } = window as unknown as { axe: { run: (options: object) => Promise<unknown> } };
    return (await checker.run({
      runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
    })) as unknown;
  });
  return (result as AxeResult).violations.flatMap((violation) =>
    violation.nodes.map(
      (node) => `${violation.id}: ${node.html.slice(0, 160)} — ${node.failureSummary ?? violation.help}`,
    ),
  );
}
