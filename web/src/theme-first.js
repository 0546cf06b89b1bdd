// Runs before the first paint: see themeFirst in vite.config.ts.
try {
  const chosen = localStorage.getItem('amoskys.theme');
  if (chosen === 'dark' || chosen === 'light') document.documentElement.dataset.theme = chosen;
} catch {
  // Storage may be forbidden; the system's theme is then right.
}
