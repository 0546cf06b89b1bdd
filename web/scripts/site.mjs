// Makes docs/ into a site of plain files in dist/docs, which the dashboard serves at
// /docs and any web server can. Links between pages, to their headings and to pictures
// are checked: one that leads nowhere fails the build.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { Marked } from 'marked';
import { apiPage } from './site/api.mjs';
import { escaped, pageOf } from './site/page.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const root = here('../..');
const docs = join(root, 'docs');
const out = here('../dist/docs');
const source = 'https://github.com/amoskys/amoskys/blob/main/';

const map = JSON.parse(readFileSync(here('../site/map.json'), 'utf8'));
const faults = [];
const pages = new Map(); // by name, which is the address without .html
const pictures = new Set();

/** The pages that there are: everything in docs, and what each agent says of itself. */
const names = new Map();
for (const entry of readdirSync(docs, { recursive: true }))
  if (entry.endsWith('.md'))
    names.set(`docs/${entry}`, entry.slice(0, -'.md'.length).replace(/(^|\/)README$/, '$1index'));
for (const agent of readdirSync(join(root, 'internal/agents'))) {
  const file = `internal/agents/${agent}/README.md`;
  if (existsSync(join(root, file))) names.set(file, `agents/${agent}`);
}

/** The id that a heading has on GitHub, so that links work there and here. */
function slug(text, seen) {
  const plain = text
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .trim()
    .replace(/\s/g, '-');
  const count = seen.get(plain) ?? 0;
  seen.set(plain, count + 1);
  return count === 0 ? plain : `${plain}-${count}`;
}

const untagged = (html) =>
  html
    .replace(/<[^>]*>/g, '')
    .replace(/&lt;/g, '<')
    .replace(/&gt;/g, '>')
    .replace(/&quot;/g, '"')
    .replace(/&#39;/g, "'")
    .replace(/&amp;/g, '&');

/** Where a link of a page leads in the site. Files that are not in the site are shown where the source is. */
function target(page, href) {
  if (/^[a-z]+:/i.test(href)) return href;
  const [path, anchor = ''] = href.split('#');
  if (path === '') {
    page.links.push({ href, to: page.name, anchor });
    return href;
  }
  const file = posix.join(posix.dirname(page.file), path);
  const to = names.get(file);
  if (to) {
    page.links.push({ href, to, anchor });
    return relative(page, `${to}.html`) + (anchor ? `#${anchor}` : '');
  }
  if (!existsSync(join(root, file))) faults.push(`${page.file}: ${href} is not there`);
  if (/^docs\/.*\.(json|png|svg|webp)$/.test(file)) {
    pictures.add(file.slice('docs/'.length));
    return relative(page, file.slice('docs/'.length));
  }
  return source + file + (anchor ? `#${anchor}` : '');
}

const relative = (page, to) => posix.relative(posix.dirname(page.name), to) || basename(to);

/** Renders one page and remembers its headings and links. */
function render(name, file, text) {
  const page = { name, file, headings: [], links: [], sections: [] };
  const seen = new Map();
  const marked = new Marked({
    gfm: true,
    renderer: {
      heading({ tokens, depth }) {
        const html = this.parser.parseInline(tokens);
        const title = untagged(html);
        const id = slug(title, seen);
        page.headings.push({ depth, title, id });
        page.title ??= title;
        const mark =
          depth > 1 ? ` <a class="mark" href="#${id}" aria-label="link to ${escaped(title)}">#</a>` : '';
        return `<h${depth} id="${id}">${html}${mark}</h${depth}>\n`;
      },
      link({ href, tokens }) {
        const to = target(page, href);
        return `<a href="${escaped(to)}">${this.parser.parseInline(tokens)}</a>`;
      },
      html({ text: raw }) {
        return raw.replace(
          /(srcset|src)="(?!https?:)([^"]+)"/g,
          (_, attribute, href) => `${attribute}="${escaped(target(page, href))}"`,
        );
      },
      image({ href, text: alt }) {
        return `<img src="${escaped(target(page, href))}" alt="${escaped(alt)}" loading="lazy">`;
      },
      code({ text: code, lang }) {
        const [language] = (lang ?? '').split(' ');
        return `<div class="code"><pre tabindex="0"><code${language ? ` data-language="${escaped(language)}"` : ''}>${escaped(code)}\n</code></pre></div>\n`;
      },
      table(token) {
        const cell = (tag, { tokens, align }) =>
          `<${tag}${align ? ` class="${align}"` : ''}>${this.parser.parseInline(tokens)}</${tag}>`;
        const head = token.header.map((each) => cell('th', each)).join('');
        const rows = token.rows
          .map((row) => `<tr>${row.map((each) => cell('td', each)).join('')}</tr>`)
          .join('\n');
        return `<div class="table" tabindex="0"><table><thead><tr>${head}</tr></thead><tbody>${rows}</tbody></table></div>\n`;
      },
    },
  });
  // Comments tell tools which blocks to run; readers need not see them.
  page.html = marked.parse(text.replace(/<!--[\s\S]*?-->\n?/g, ''));
  page.sections = sectionsOf(page.html, page);
  pages.set(name, page);
}

/** What the search looks through: each heading with the text below it. */
function sectionsOf(html, page) {
  return html
    .split(/(?=<h[1-4] id=)/)
    .map((part) => {
      const [, id = ''] = /^<h[1-4] id="([^"]*)"/.exec(part) ?? [];
      const title = page.headings.find((each) => each.id === id)?.title ?? page.title ?? '';
      const body = untagged(part.replace(/^<h[1-4].*?<\/h[1-4]>/s, ' '))
        .replace(/\s+/g, ' ')
        .trim();
      return { id, title, body };
    })
    .filter((each) => each.body !== '' || each.id !== '');
}

for (const [file, name] of names)
  if (name !== 'api') render(name, file, readFileSync(join(root, file), 'utf8'));
render('api', 'docs/openapi.json', apiPage(JSON.parse(readFileSync(join(docs, 'openapi.json'), 'utf8'))));

// Decisions are listed by a page of their own.
const named = new Set(map.sections.flatMap((each) => each.pages));
for (const name of named) if (!pages.has(name)) faults.push(`site/map.json names ${name}, which is no page`);
for (const name of pages.keys())
  if (!named.has(name) && !/^decisions\//.test(name))
    faults.push(`${pages.get(name).file} is not in site/map.json`);

for (const page of pages.values()) {
  for (const { href, to, anchor } of page.links) {
    const there = pages.get(to);
    if (!there) faults.push(`${page.file}: ${href} leads to no page`);
    else if (anchor && !there.headings.some((each) => each.id === decodeURIComponent(anchor)))
      faults.push(`${page.file}: ${href} leads to no heading`);
  }
}
if (faults.length > 0) {
  process.stderr.write(`${faults.join('\n')}\n`);
  process.exit(1);
}

/** Writes a file, and the same packed beside it for who takes that. */
function write(name, content) {
  const path = join(out, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  if (!/\.(png|webp)$/.test(name) && content.length > 1024)
    writeFileSync(`${path}.gz`, gzipSync(content, { level: 9 }));
}

rmSync(out, { recursive: true, force: true });
for (const page of pages.values()) write(`${page.name}.html`, pageOf(page, map, pages));
for (const picture of pictures) write(picture, readFileSync(join(docs, picture)));
write(
  'site.css',
  readFileSync(here('../src/tokens.css'), 'utf8') + readFileSync(here('../site/site.css'), 'utf8'),
);
write('icon.svg', readFileSync(here('../src/icon.svg'), 'utf8'));
write('site.js', readFileSync(here('../site/site.js'), 'utf8'));
const index = [...pages.values()].map(({ name, title, sections }) => ({ name, title, sections }));
write('search.json', JSON.stringify(index));

const size = [...pages.values()].reduce(
  (sum, page) => sum + statSync(join(out, `${page.name}.html`)).size,
  0,
);
process.stdout.write(`documents: ${pages.size} pages, ${(size / 1000).toFixed(0)} kB, links checked\n`);
