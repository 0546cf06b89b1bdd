// Weighs the JavaScript that the first load of Overview brings, compressed, and
// fails the build when it is over the bar of docs and design: 90 kB.
import { readFileSync, rmSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const bar = 90_000;
const dist = new URL('../dist/', import.meta.url);
const manifest = JSON.parse(readFileSync(new URL('.vite/manifest.json', dist), 'utf8'));

/** The files that come along with an entry, its static imports included. */
function filesOf(key, seen = new Set()) {
  if (seen.has(key)) return [];
  seen.add(key);
  const entry = manifest[key];
  if (!entry) throw new Error(`${key} is not in the manifest`);
  return [entry.file, ...(entry.imports ?? []).flatMap((each) => filesOf(each, seen))];
}

// What stands in the page itself counts too.
const page = readFileSync(new URL('index.html', dist), 'utf8');
const inline = gzipSync(/<script>(.*?)<\/script>/s.exec(page)?.[1] ?? '', { level: 9 }).length;
const weight = (file) => gzipSync(readFileSync(new URL(file, dist)), { level: 9 }).length;
const pages = [
  'overview/Overview',
  'agents/Agents',
  'events/Events',
  'network/Network',
  'devices/Devices',
  'metrics/Metrics',
  'findings/Findings',
  'settings/Settings',
];
let failed = false;
for (const each of pages) {
  const files = new Set([...filesOf('index.html'), ...filesOf(`src/pages/${each}.svelte`)]);
  const total = [...files].reduce((sum, file) => sum + weight(file), inline);
  const over = each.startsWith('overview') && total > bar;
  failed ||= over;
  console.log(
    `first load of ${each.split('/')[1]}: ${(total / 1000).toFixed(1)} kB of JavaScript${over ? `, over the bar of ${bar / 1000} kB` : ''}`,
  );
}
// The manifest has served; it is nothing to put into the program.
rmSync(new URL('.vite', dist), { recursive: true });
process.exitCode = failed ? 1 : 0;
