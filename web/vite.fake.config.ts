import { defineConfig, mergeConfig } from 'vite';
import { startFakeServer } from './tests/fake/server';
import base from './vite.config';

const port = 5901;

/** `npm run dev:fake` answers the API from a seeded fake, with no Go at all. */
export default defineConfig(async ({ command }) => {
  if (command === 'serve') await startFakeServer({ port });
  return mergeConfig(base, {
    server: {
      proxy: {
        '/api': { target: `http://127.0.0.1:${port}`, ws: true },
        '/prometheus': { target: `http://127.0.0.1:${port}` },
      },
    },
  });
});
