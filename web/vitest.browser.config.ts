import { defineConfig } from 'vitest/config';

/** Files that measure speed: nothing else runs beside them. */
const alone = 'tests/browser/speed.test.ts';

const common = {
  environment: 'node' as const,
  globalSetup: ['tests/browser/support/build.ts'],
  // One Chromium a process, which its files share: see support/browser.ts.
  isolate: false,
  testTimeout: 60_000,
  hookTimeout: 120_000,
};

export default defineConfig({
  test: {
    reporters: ['default', './tests/summary-reporter.ts'],
    projects: [
      {
        test: {
          ...common,
          name: 'pages',
          include: ['tests/browser/**/*.test.ts'],
          exclude: [alone],
          // The machines that run this have two cores.
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: { ...common, name: 'speed', include: [alone], maxWorkers: 1, sequence: { groupOrder: 1 } },
      },
    ],
  },
});
