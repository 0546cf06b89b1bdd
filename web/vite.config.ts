import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig, type Plugin } from 'vite';

const themeScript = fileURLToPath(new URL('./src/theme-first.js', import.meta.url));

/**
 * The chosen theme must be known before the first paint, and the content
 * security policy allows no inline script: so a tiny blocking script of its
 * own goes into the head, under a hashed name.
 */
function themeFirst(): Plugin {
  return {
    name: 'theme-first',
    transformIndexHtml: {
      order: 'post',
      handler(_html, context) {
        const bundle = context.bundle ?? {};
        const built = Object.values(bundle).find((file) => /theme-first-.*\.js$/.test(file.fileName));
        const src = built ? `/${built.fileName}` : '/src/theme-first.js';
        return [{ tag: 'script', attrs: { src }, injectTo: 'head-prepend' }];
      },
    },
    buildStart() {
      if (this.environment.mode !== 'build') return;
      this.emitFile({ type: 'asset', name: 'theme-first.js', source: readFileSync(themeScript, 'utf8') });
    },
  };
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
  plugins: [svelte(), themeFirst(), precompress()],
  resolve: { alias: { $lib: fileURLToPath(new URL('./src/lib', import.meta.url)) } },
  server: { host: '127.0.0.1', proxy: { '/api': { target: 'http://127.0.0.1:5001', ws: true } } },
  build: {
    target: 'es2023',
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    manifest: true,
  },
});
