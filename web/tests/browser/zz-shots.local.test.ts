import { test } from 'vitest';
import { axe, launch, openTab, shot, signIn } from '/work/main/web/tests/browser/support/browser';
import { fakeUser, startFakeServer } from '/work/main/web/tests/fake/server';

const only = process.env.ONLY?.split(',');
test('shots', async () => {
  const fake = await startFakeServer({ agents: 24 });
  const browser = await launch();
  const pages: Record<string, string> = {
    overview: '/dashboard',
    agents: '/dashboard/agents',
    panel: '/dashboard/agents?agent=web-01/proc_agent&tab=logs',
    events: '/dashboard/events',
    event: '/dashboard/events?event=19900',
  };
  const sizes = (process.env.SIZES ?? '1280').split(',').map(Number);
  for (const scheme of (process.env.SCHEMES ?? 'dark,light').split(',') as ('dark' | 'light')[])
    for (const width of sizes) {
      const { page, context, faults } = await openTab(browser, fake.address, {
        width,
        height: width < 500 ? 740 : width > 2000 ? 1440 : 800,
        scheme,
      });
      if (!only || only.includes('login')) {
        await page.goto('/login');
        await page.waitForTimeout(300);
        await shot(page, `login-${width}-${scheme}`);
        console.log('axe login', await axe(page));
      }
      await signIn(page, fakeUser.name, fakeUser.password);
      for (const [name, path] of Object.entries(pages)) {
        if (only && !only.includes(name)) continue;
        await page.goto(path);
        await page.waitForTimeout(2500);
        await shot(page, `${name}-${width}-${scheme}`);
        const v = await axe(page);
        if (v.length) console.log(name, width, scheme, v.slice(0, 6));
      }
      if (faults.length) console.log('faults', [...new Set(faults)].slice(0, 5));
      await context.close();
    }
  await browser.close();
  await fake.close();
}, 300000);
