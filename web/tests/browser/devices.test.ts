import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { axe, look, viewOf } from './support/axe';
import { hasChromium, need } from './support/browser';
import { useFake } from './support/fake';

describe.skipIf(!need(hasChromium, 'Chromium'))('Devices', () => {
  const stage = useFake({ history: 200, agents: 2, devices: 40 });
  const grid = (page: Page) => page.getByRole('grid', { name: 'Devices' });
  const row = (page: Page, name: string) =>
    grid(page).getByRole('row', { name: new RegExp(`^Select ${name} `) });

  it('narrows, marks many at once, and tells all of one', { timeout: 120_000 }, async () => {
    const { page, faults } = await stage.tab('/dashboard/agents');
    await page.getByRole('link', { name: 'Devices' }).waitFor();
    await page.keyboard.press('g');
    await page.keyboard.press('d');
    await row(page, 'sw-1').waitFor();

    // A facet and the filter are one language; what cannot be read is said.
    await page.getByRole('button', { name: /^switch / }).click();
    await page.waitForURL(/q=class%3Aswitch/);
    await page.getByText('2 of 40 devices').waitFor();
    await page.getByLabel('Filter devices').fill('port:ssh');
    await page.getByRole('alert').getByText('write port:22').waitFor();
    await page.getByLabel('Filter devices').fill('vendor:axis');
    await page.getByRole('alert').waitFor({ state: 'hidden' });
    await row(page, 'sw-1').waitFor({ state: 'hidden' });

    // By keys: two rows, all that match, and what is said of them.
    await grid(page).focus();
    for (const key of ['j', 'x', 'j', 'j', 'X']) await page.keyboard.press(key);
    await page.getByText('3 selected').waitFor();
    await page.keyboard.press('a');
    await page.getByRole('button', { name: 'Known', exact: true }).click();
    await page.getByText(/devices marked known/).waitFor();
    expect(
      stage.fake.world.devices.list.filter((each) => each.vendor === 'Axis' && !each.mark.known),
    ).toEqual([]);
    await page.getByRole('button', { name: 'Tags' }).click();
    await page.getByLabel('Tags to add').fill('cctv');
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: /^cctv / }).waitFor();
    await page.keyboard.press('Escape');

    // One device by the palette: where it is plugged in and was before, ports, SNMP.
    await page.keyboard.press('Control+k');
    await page.getByRole('dialog', { name: 'Command palette' }).getByRole('combobox').waitFor();
    await page.keyboard.type('thing-13');
    await page.getByRole('option', { name: /^thing-13/ }).click();
    const detail = page.getByRole('complementary', { name: 'thing-13' });
    await detail.getByText(/now, since/).waitFor();
    await detail.getByText(/before, since/).waitFor();
    await detail
      .getByRole('link', { name: /of sw-2/ })
      .first()
      .click();
    const of = page.getByRole('complementary', { name: 'sw-2' });
    await of.getByRole('tab', { name: 'SNMP' }).click();
    await of.getByRole('rowheader', { name: 'Gi1/0/2', exact: true }).waitFor();
    expect(await of.getByRole('link', { name: 'Its events' }).getAttribute('href')).toContain('about.uid');
    expect(faults).toEqual([]);
  });

  it('scans when somebody asks, tells what came, and stops when told to', { timeout: 120_000 }, async () => {
    stage.fake.world.devices.list = [];
    const { page, faults } = await stage.tab('/dashboard/devices');
    await page.getByText('No device has been seen yet').waitFor();
    await page.getByText(/nothing until somebody names a subnet/).waitFor();
    expect(await axe(page)).toEqual([]);
    const target = page.getByLabel(/^Subnet or addresses/);
    await target.fill('198.51.100.0/24');
    await page.keyboard.press('Enter');
    await page.getByText(/Scanning 198.51.100.0\/24/).waitFor();
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByText(/cancelled/).waitFor();
    await target.fill('192.0.2.0/24');
    await page.keyboard.press('Enter');
    await page.getByRole('link', { name: '1 not seen before' }).or(row(page, 'found-1')).first().waitFor();
    await row(page, 'found-1').getByText('new').waitFor();
    await page.getByRole('button', { name: 'Export' }).click();
    const xml = page.getByRole('link', { name: 'nmap XML' });
    expect(await xml.getAttribute('href')).toBe('/api/devices/export?known=any&format=nmap-xml');
    expect(faults).toEqual([]);
  });

  it('draws what hangs where, by keys too, and is sound for axe at any width', {
    timeout: 240_000,
  }, async () => {
    const found: Record<string, string[]> = {};
    const { page, faults } = await stage.tab('/dashboard/devices?tab=topology', viewOf('wide'));
    const map = page.getByRole('listbox', { name: /^Topology/ });
    await map.getByRole('option', { name: /^gw/ }).waitFor();
    await page.getByRole('grid', { name: 'Links' }).getByText('sfp1').waitFor();
    await map.focus();
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('Enter');
    await page.getByRole('complementary', { name: 'sw-1' }).waitFor();
    await page.getByRole('tab', { name: 'SNMP' }).click();
    await page.getByRole('tab', { name: 'SNMP', selected: true }).waitFor();
    Object.assign(found, await look(page, 'devices-topology-snmp', 'wide'));
    for (const which of ['wide', 'narrow'] as const) {
      await page.setViewportSize(viewOf(which) as { width: number; height: number });
      await page.goto('/dashboard/devices');
      await row(page, 'sw-1').waitFor();
      Object.assign(found, await look(page, 'devices', which));
    }
    expect(faults).toEqual([]);
    expect(found).toEqual({});
  });
});
