import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { closeTabs, openTab, sharedBrowser, signIn, type Tab, type View } from './browser';
import { type Program, startProgram } from './program';

export interface RealStage {
  browser: Browser;
  program: Program;
  /** A tab at a path, signed in as the administrator; it is closed after the test. */
  enter: (path?: string, view?: View) => Promise<Tab>;
}

/** The whole system for a group of tests, with settings for the hub's and the synthetic agent's file. */
export function useProgram(hubSettings = '', synthSettings = ''): RealStage {
  const stage = {
    async enter(path = '/dashboard', view: View = {}) {
      const { program, browser } = stage;
      const tab = await openTab(browser, program.address, view);
      await signIn(tab.page, program.user, program.password, path);
      return tab;
    },
  } as RealStage;
  beforeAll(async () => {
    [stage.program, stage.browser] = await Promise.all([
      startProgram(undefined, hubSettings, synthSettings),
      sharedBrowser(),
    ]);
  });
  afterEach(closeTabs);
  afterAll(() => stage.program?.stop());
  return stage;
}
