import type { Browser } from 'playwright-core';
import { afterEach, beforeAll, beforeEach } from 'vitest';
import { type FakeOptions, type FakeServer, fakeUser, startFakeServer } from '../../fake/server';
import { closeTabs, openTab, sharedBrowser, signIn, type Tab, type View } from './browser';

export interface Stage {
  browser: Browser;
  fake: FakeServer;
  /** A signed-in tab at a path; it is closed after the test. */
  tab: (path?: string, view?: View) => Promise<Tab>;
}

/** A fresh fake server for each test of a group. */
export function useFake(options: FakeOptions = {}): Stage {
  const stage = {
    async tab(path = '/dashboard', view: View = {}) {
      const tab = await openTab(stage.browser, stage.fake.address, view);
      await signIn(tab.page, fakeUser.name, fakeUser.password, path);
      return tab;
    },
  } as Stage;
  beforeAll(async () => {
    stage.browser = await sharedBrowser();
  });
  beforeEach(async () => {
    stage.fake = await startFakeServer(options);
  });
  afterEach(async (test) => {
    await closeTabs(test);
    await stage.fake.close();
  });
  return stage;
}
