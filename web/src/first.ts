// Stands in the page itself, before everything else: the chosen theme must be
// known before the first paint, and what the page will ask for is on its way
// while its code still comes in. See vite.config.ts, which puts it there.
import { firstAsks } from './first/asks';

declare const pageFiles: Record<string, string[]>;

const root = document.documentElement;
try {
  const chosen = localStorage.getItem('amoskys.theme');
  if (chosen === 'dark' || chosen === 'light') root.dataset.theme = chosen;
  if (localStorage.getItem('amoskys.rail') === 'collapsed') root.dataset.rail = 'slim';
} catch {
  // Storage may be forbidden; the system's theme is then right.
}

const path = location.pathname.replace(/\/+$/, '') || '/dashboard';
if (path === '/login') root.dataset.door = '';
const want = (rel: string, href: string) => {
  const link = document.createElement('link');
  link.rel = rel;
  link.crossOrigin = '';
  link.href = href;
  document.head.append(link);
};
const own = pageFiles[path] ?? [];
for (const href of own) want('modulepreload', href);
// The other pages open also while the dashboard does not answer: the browser keeps their code.
const fetchOthers = () => {
  const others = new Set(Object.values(pageFiles).flat());
  for (const href of others) if (!own.includes(href)) want('prefetch', href);
};
// Later than what this page itself asks for.
addEventListener('load', () => setTimeout(fetchOthers, 3000));

const early = new Map<string, Promise<Response>>();
for (const address of firstAsks(path, location.search)) {
  const answer = fetch(address, { headers: { Accept: 'application/json' }, credentials: 'same-origin' });
  answer.catch(() => {}); // whoever takes it hears of it
  early.set(address, answer);
}
Object.assign(window, { early });
