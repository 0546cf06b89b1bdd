// What the pages of the documents do: search, the list of pages on a narrow screen, copying a block.
const root = document.currentScript.dataset.root;
const html = document.documentElement;
try {
  const chosen = localStorage.getItem('amoskys.theme');
  if (chosen === 'dark' || chosen === 'light') html.dataset.theme = chosen;
} catch {
  // Storage may be forbidden; the system's theme is then right.
}

// Served by the dashboard, the documents lie below it; elsewhere there is nothing to go back to.
if (location.pathname.startsWith('/docs/')) document.querySelector('.home').hidden = false;

const menu = document.querySelector('.menu');
menu.addEventListener('click', () => {
  const open = html.toggleAttribute('data-pages');
  menu.setAttribute('aria-expanded', String(open));
});
document.querySelector('[aria-current=page]')?.scrollIntoView({ block: 'nearest' });

for (const block of document.querySelectorAll('.code')) {
  const button = document.createElement('button');
  button.type = 'button';
  button.textContent = 'Copy';
  button.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(block.querySelector('code').textContent);
      button.textContent = 'Copied';
    } catch {
      button.textContent = 'Not allowed';
    }
    setTimeout(() => {
      button.textContent = 'Copy';
    }, 1500);
  });
  block.append(button);
}

const input = document.querySelector('search input');
const results = document.querySelector('search ol');
let pages;
let asked;

/** How well a section answers: its title counts most, then how often the words are in it. */
function score(words, page, section) {
  const title = `${page.title} ${section.title}`.toLowerCase();
  const body = section.body.toLowerCase();
  let sum = 0;
  for (const word of words) {
    const inTitle = title.includes(word) ? 10 : 0;
    const inBody = Math.min(body.split(word).length - 1, 5);
    if (inTitle + inBody === 0) return 0;
    sum += inTitle + inBody;
  }
  return sum;
}

function excerpt(words, body) {
  const at = Math.max(body.toLowerCase().indexOf(words[0]) - 40, 0);
  return `${at > 0 ? '…' : ''}${body.slice(at, at + 140)}${body.length > at + 140 ? '…' : ''}`;
}

function show(words) {
  const found = [];
  for (const page of pages)
    for (const section of page.sections) {
      const points = score(words, page, section);
      if (points > 0) found.push({ points, page, section });
    }
  found.sort((a, b) => b.points - a.points);
  results.replaceChildren(
    ...found.slice(0, 12).map(({ page, section }) => {
      const item = document.createElement('li');
      const link = document.createElement('a');
      link.href = `${root}/${page.name}.html${section.id ? `#${section.id}` : ''}`;
      const title = document.createElement('b');
      title.textContent = section.title === page.title ? page.title : `${page.title}: ${section.title}`;
      const text = document.createElement('small');
      text.textContent = excerpt(words, section.body);
      link.append(title, text);
      item.append(link);
      return item;
    }),
  );
  if (found.length === 0) {
    const item = document.createElement('li');
    item.textContent = 'Nothing found. Fewer words, or the first letters of one, find more.';
    results.append(item);
  }
  results.hidden = false;
}

async function search() {
  const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) {
    results.hidden = true;
    return;
  }
  try {
    asked ??= fetch(`${root}/search.json`).then((answer) => answer.json());
    pages = await asked;
  } catch {
    asked = undefined;
    results.textContent = 'The search needs a web server, such as the dashboard.';
    results.hidden = false;
    return;
  }
  show(words);
}
input.addEventListener('input', search);
addEventListener('keydown', (event) => {
  if (event.key === 'Escape') results.hidden = true;
  if (event.key === '/' && !/^(INPUT|TEXTAREA)$/.test(document.activeElement?.tagName ?? '')) {
    event.preventDefault();
    input.focus();
  }
  if (event.key === 'Enter' && document.activeElement === input) results.querySelector('a')?.click();
});
addEventListener('click', (event) => {
  if (!event.target.closest('search')) results.hidden = true;
});
