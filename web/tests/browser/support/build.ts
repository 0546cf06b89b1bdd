import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

/** Builds the UI once before the browser tests, unless a build lies there. */
export async function setup(): Promise<void> {
  if (existsSync(fileURLToPath(new URL('../../../dist/index.html', import.meta.url)))) return;
  await build({ root: fileURLToPath(new URL('../../..', import.meta.url)), logLevel: 'warn' });
}
