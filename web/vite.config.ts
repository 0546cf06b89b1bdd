import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { build, defineConfig, type Plugin, type Rolldown } from 'vite';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const alias = { $lib: here('./src/lib') };

/**
 * Puts into the page itself what the first paint needs: src/first.ts, and the
 * styles. The server allows both by their hashes.
 */
function firstThings(): Plugin {
  return {
    name: 'first-things',
    transformIndexHtml: {
      order: 'post',
      async handler(html, { bundle }) {
        const built = await build({
          configFile: false,
          logLevel: 'warn',
          resolve: { alias },
          build: {
            write: false,
            target: 'es2023',
            rolldownOptions: { input: here('./src/first.ts'), output: { format: 'iife' } },
          },
        });
        const code = [built].flat().flatMap((each) => ('output' in each ? each.output : []))[0];
        if (code?.type !== 'chunk') throw new Error('src/first.ts was not built');
        let page = html;
        for (const [name, file] of Object.entries(bundle ?? {})) {
          if (file.type !== 'asset' || !name.endsWith('.css')) continue;
          const style = `<style>${String(file.source).trim()}</style>`;
          page = page.replace(new RegExp(`<link rel="stylesheet"[^>]*${name}">`), () => style);
          delete bundle?.[name];
        }
        const files = JSON.stringify(pageFiles(bundle ?? {}));
        const script = `const pageFiles=${files};${code.code.trim()}`;
        return {
          html: page,
          tags: [{ tag: 'script', children: script, injectTo: 'head-prepend' }],
        };
      },
    },
  };
}

/** The files that each page's code is in, by the page's path; what it loads later by that and a name. */
function pageFiles(bundle: Rolldown.OutputBundle): Record<string, string[]> {
  const files: Record<string, string[]> = {};
  for (const chunk of Object.values(bundle)) {
    if (chunk.type !== 'chunk') continue;
    const [, name, part] = /src\/pages\/(\w+)\/(\w+)\.svelte$/.exec(chunk.facadeModuleId ?? '') ?? [];
    if (!name || !part || !chunk.isDynamicEntry) continue;
    const path = name === 'overview' ? '/dashboard' : `/dashboard/${name}`;
    const whole = part.toLowerCase() === name;
    files[whole ? path : `${path}#${part}`] = [chunk.fileName, ...chunk.imports].map((each) => `/${each}`);
  }
  return files;
}

/** Writes NAME.gz beside each asset, so that the server need not compress. */
function precompress(): Plugin {
  return {
    name: 'precompress',
    apply: 'build',
    generateBundle: {
      order: 'post',
      handler(_options, bundle) {
        for (const file of Object.values(bundle)) {
          const text = file.type === 'chunk' ? file.code : file.source;
          if (!/\.(js|css|svg)$/.test(file.fileName) || text.length < 1024) continue;
          this.emitFile({
            type: 'asset',
            fileName: `${file.fileName}.gz`,
            source: gzipSync(text, { level: 9 }),
          });
        }
      },
    },
  };
}

export default defineConfig({
  plugins: [svelte(), firstThings(), precompress()],
  resolve: { alias },
  server: {
    host: '127.0.0.1',
    proxy: {
      '/api': { target: 'http://127.0.0.1:5001', ws: true },
      '/prometheus': { target: 'http://127.0.0.1:5001' },
    },
  },
  build: {
    target: 'es2023',
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    // One file of styles, which goes into the page; few files of code, since each costs a request.
    cssCodeSplit: false,
    rolldownOptions: {
      output: {
        codeSplitting: {
          groups: [
            {
              name: 'base',
              test: /node_modules\/(?!uplot)|src\/lib\/(?!charts|table|promql|saved)/,
              priority: 1,
            },
            { name: 'charts', test: /uplot|src\/lib\/charts/ },
            { name: 'table', test: /src\/lib\/table/ },
          ],
        },
      },
    },
    reportCompressedSize: false,
    manifest: true,
  },
});
