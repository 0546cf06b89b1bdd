// The frame around each page of the documents.
import { posix } from 'node:path';

/** A text as it stands in HTML. */
export const escaped = (text) =>
  text.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c]);

/** A whole page: the list of all pages, the text, and what is on this page. */
export function pageOf(page, map, pages) {
  const up = posix.relative(posix.dirname(page.name), '.') || '.';
  const link = (name) => posix.join(up, `${name}.html`);
  const names = map.sections.flatMap((each) => each.pages);
  const at = names.indexOf(page.name);
  const near = (name, rel, word) =>
    name
      ? `<a rel="${rel}" href="${link(name)}"><small>${word}</small>${escaped(pages.get(name).title)}</a>`
      : '<span></span>';
  const list = map.sections
    .map(({ title, pages: of }) => {
      const items = of
        .map((name) => {
          const current = name === page.name ? ' aria-current="page"' : '';
          return `<li><a href="${link(name)}"${current}>${escaped(map.short[name] ?? pages.get(name).title)}</a></li>`;
        })
        .join('');
      return `<h2>${escaped(title)}</h2><ul>${items}</ul>`;
    })
    .join('');
  const contents = page.headings.filter((each) => each.depth === 2 || each.depth === 3);
  const onPage = contents
    .map(({ depth, title, id }) => `<li class="depth${depth}"><a href="#${id}">${escaped(title)}</a></li>`)
    .join('');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(page.title)} · AMOSKYS</title>
<link rel="icon" href="${posix.join(up, 'icon.svg')}">
<link rel="stylesheet" href="${posix.join(up, 'site.css')}">
<script src="${posix.join(up, 'site.js')}" data-root="${up}" defer></script>
</head>
<body>
<a class="skip" href="#text">To the text</a>
<header>
<button type="button" class="menu" aria-expanded="false" aria-controls="pages">Pages</button>
<a class="brand" href="${link(names[0])}">AMOSKYS <span>documents</span></a>
<search><input type="search" placeholder="Search the documents" aria-label="Search the documents" autocomplete="off"><ol hidden></ol></search>
<a class="home" href="/dashboard" hidden>Dashboard</a>
</header>
<nav id="pages" aria-label="pages">${list}</nav>
<main id="text" tabindex="-1">
<article>
${page.html}</article>
<footer>${near(names[at - 1], 'prev', 'Before')}${near(names[at + 1], 'next', 'Next')}</footer>
</main>
${contents.length > 1 ? `<nav class="contents" aria-label="on this page"><h2>On this page</h2><ul>${onPage}</ul></nav>` : ''}
</body>
</html>
`;
}
