import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { type FakeOptions, type FakeServer, fakeUser, startFakeServer } from '../../fake/server';
import { launch, openTab, signIn, type Tab, type View } from './browser';

export interface Stage {
  browser: Browser;
  fake: FakeServer;
  /** A signed-in tab at a path; it is closed after the test. */
  tab: (path?: string, view?: View) => Promise<Tab>;
}

/** One Chromium for a file's tests, and a fresh fake server for each test. */
export function useFake(options: FakeOptions = {}): Stage {
  const tabs: Tab[] = [];
  const stage = {
    async tab(path = '/dashboard', view: View = {}) {
      const tab = await openTab(stage.browser, stage.fake.address, view);
      tabs.push(tab);
      await signIn(tab.page, fakeUser.name, fakeUser.password, path);
      return tab;
    },
  } as Stage;
  beforeAll(async () => {
    stage.browser = await launch();
  });
  beforeEach(async () => {
    stage.fake = await startFakeServer(options);
  });
  afterEach(async () => {
    await Promise.all(tabs.splice(0).map((tab) => tab.context.close()));
    await stage.fake.close();
  });
  afterAll(() => stage.browser?.close());
  return stage;
}
