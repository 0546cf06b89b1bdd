import { mkdir, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { hasChromium, launch, openTab, type Scheme, signIn } from '../browser/support/browser';
import { hasProgram, startProgram } from '../browser/support/program';
import { fakeUser, startFakeServer } from '../fake/server';

/** docs/img: they are in git, since whoever builds the documents need not have a browser. */
const folder = fileURLToPath(new URL('../../../docs/img/', import.meta.url));

interface Picture {
  name: string;
  path: string;
  /** What is on the page once it is worth a picture. */
  there: (page: Page) => Promise<unknown>;
  schemes?: Scheme[];
}

const row = (page: Page) => page.locator('[role="grid"] .row').nth(5).waitFor();
const chart = (page: Page) => page.locator('.u-over').first().waitFor();

/** Of the fleet that the browser tests make up. */
const fleet: Picture[] = [
  { name: 'overview', path: '/dashboard', there: chart, schemes: ['light', 'dark'] },
  { name: 'agents', path: '/dashboard/agents', there: row },
  { name: 'events', path: '/dashboard/events', there: row },
  { name: 'devices', path: '/dashboard/devices', there: row },
  {
    name: 'metrics',
    path: `/dashboard/metrics?q=${encodeURIComponent('process_cpu_percent{host="web-01"}')}`,
    there: chart,
  },
];

/** Of the program with its synthetic agent: the made-up fleet has no flows. */
const synthetic: Picture[] = [
  {
    name: 'network',
    path: '/dashboard/network',
    there: async (page) => {
      const map = page.getByRole('listbox', { name: /^Map of hosts/ });
      await map.getByRole('option').nth(8).waitFor();
      await page.getByRole('grid', { name: 'Who talks to whom' }).locator('.row').nth(5).waitFor();
    },
  },
  {
    name: 'findings',
    path: '/dashboard/findings',
    there: (page) =>
      page
        .getByRole('list', { name: 'Findings' })
        .getByRole('link', { name: /^Made up: / })
        .nth(5)
        .waitFor(),
  },
];

/** Takes the pictures of docs/quickstart.md and README.md anew, or those that are named. */
export async function main(names: readonly string[]): Promise<number> {
  const chosen = (pictures: Picture[]) =>
    pictures.filter(({ name }) => names.length === 0 || names.includes(name));
  if (!hasChromium || !hasProgram) {
    process.stderr.write('needs Chromium (.ci/packages) and bin/amoskys (make build)\n');
    return 1;
  }
  await mkdir(folder, { recursive: true });
  const browser = await launch();
  const fake = await startFakeServer({ history: 6000, agents: 24, devices: 40 });
  try {
    await takeAll(browser, fake.address, fakeUser.name, fakeUser.password, chosen(fleet), 0);
    if (chosen(synthetic).length === 0) return 0;
    const program = await startProgram(undefined, '', 'synthetic: {rate: 60, anomalies_per_hour: 1200}\n');
    try {
      await takeAll(browser, program.address, program.user, program.password, chosen(synthetic), 60_000);
    } finally {
      await program.stop();
    }
  } finally {
    await Promise.all([browser.close(), fake.close()]);
  }
  return 0;
}

async function takeAll(
  browser: Browser,
  address: string,
  user: string,
  password: string,
  pictures: Picture[],
  patience: number,
): Promise<void> {
  for (const [at, { name, path, there, schemes = ['light'] as Scheme[] }] of pictures.entries())
    for (const scheme of schemes) {
      const { page, context } = await openTab(browser, address, { width: 1280, height: 800, scheme });
      await signIn(page, user, password, path);
      await there(page);
      // What comes by and by, such as flows that end, is there after a while.
      await page.waitForTimeout(at === 0 && patience > 0 ? patience : 1500);
      await take(page, schemes.length > 1 && scheme === 'dark' ? `${name}-dark` : name);
      await context.close();
    }
}

/** WebP is a third of the same picture as PNG, and the program carries them. */
async function take(page: Page, name: string): Promise<void> {
  const session = await page.context().newCDPSession(page);
  const { data } = await session.send('Page.captureScreenshot', { format: 'webp', quality: 72 });
  const bytes = Buffer.from(data, 'base64');
  await writeFile(`${folder}${name}.webp`, bytes);
  process.stdout.write(`docs/img/${name}.webp  ${(bytes.length / 1000).toFixed(0)} kB\n`);
}
