import type { Reporter, TestModule } from 'vitest/node';

/** Ends a run with one plain line that counts tests, for people and for CI. */
export default class SummaryReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const count = { passed: 0, failed: 0, skipped: 0 };
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === 'passed') count.passed += 1;
        else if (state === 'failed') count.failed += 1;
        else count.skipped += 1;
      }
      count.failed += module.errors().length;
    }
    console.log(`web: ${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`);
  }
}
