import { hasChromium, launch, openTab, signIn } from '../browser/support/browser';
import { hasProgram, type Program, startProgram } from '../browser/support/program';
import { type Load, load } from './load';

const usage = `make ui-bench [ARGS="--json --runs 9 --against PROGRAM"]

Measures how soon Overview and Events show on a CPU slowed four times: nothing
cached, signed in, amoskys up with three agents on ports of its own. Each figure
is the median of --runs loads. --against loads the pages of another build in
turn with those of this one. It writes nothing but what it prints.
`;

const bars: Record<string, { paint: number; data: number }> = {
  overview: { paint: 800, data: 1200 },
  events: { paint: 1200, data: 2000 },
};
const paths: Record<string, string> = { overview: '/dashboard', events: '/dashboard/events' };

interface Row extends Load {
  page: string;
  build: string;
}

interface Side {
  build: string;
  program: Program;
  cookies: Parameters<typeof load>[2];
}

interface Asked {
  json: boolean;
  runs: number;
  against: string | undefined;
}

function read(args: readonly string[]): Asked | null {
  const asked: Asked = { json: false, runs: 9, against: undefined };
  for (let index = 0; index < args.length; index += 1) {
    if (args[index] === '--json') asked.json = true;
    else if (args[index] === '--runs') asked.runs = Number(args[++index]);
    else if (args[index] === '--against') asked.against = args[++index] ?? '';
    else return null;
  }
  return asked.runs >= 1 && asked.against !== '' ? asked : null;
}

/** Exit code 0 when all bars are held, 1 when one is missed, 2 for a wrong call. */
export async function main(args: readonly string[]): Promise<number> {
  const asked = read(args);
  if (!asked) {
    process.stderr.write(usage);
    return 2;
  }
  if (!hasChromium || !hasProgram) {
    process.stderr.write(
      `${hasChromium ? 'bin/amoskys is missing: run make build' : 'Chromium is missing: run .ci/packages'}\n`,
    );
    return 1;
  }
  const rows = await measure(asked);
  process.stdout.write(asked.json ? `${JSON.stringify(answer(rows, asked.runs))}\n` : table(rows));
  return rows.every(held) ? 0 : 1;
}

async function measure({ runs, against }: Asked): Promise<Row[]> {
  const browser = await launch();
  const sides: Side[] = [];
  // Whoever stops the bench stops what it started.
  const stop = async () => {
    await Promise.all([browser.close(), ...sides.map((side) => side.program.stop())]);
  };
  const cut = () => void stop().finally(() => process.exit(130));
  process.once('SIGINT', cut);
  process.once('SIGTERM', cut);
  try {
    for (const [build, binary] of [
      ['this', undefined] as const,
      ...(against ? [['that', against] as const] : []),
    ]) {
      const program = await startProgram(binary);
      sides.push({ build, program, cookies: [] });
      const { page, context } = await openTab(browser, program.address);
      await signIn(page, program.user, program.password);
      // Charts have points, and lists rows, before anything counts.
      await page.locator('.uplot').first().waitFor();
      await page.waitForTimeout(8000);
      sides[sides.length - 1] = { build, program, cookies: await context.cookies() };
      await context.close();
    }
    const rows: Row[] = [];
    for (const page of Object.keys(paths)) {
      const found = new Map<string, Load[]>(sides.map((side) => [side.build, []]));
      // The first load of each warms the programs and does not count.
      for (let run = 0; run <= runs; run += 1) {
        for (const { build, program, cookies } of sides) {
          const one = await load(browser, program, cookies, paths[page] ?? '/');
          if (run > 0) found.get(build)?.push(one);
        }
      }
      for (const [build, loads] of found) rows.push({ page, build, ...medians(loads) });
    }
    return rows;
  } finally {
    process.off('SIGINT', cut);
    process.off('SIGTERM', cut);
    await stop();
  }
}

function medians(loads: readonly Load[]): Load {
  const middle = (key: keyof Load) => {
    const values = loads.map((each) => each[key]).sort((a, b) => a - b);
    return values[Math.floor(values.length / 2)] ?? Number.NaN;
  };
  return {
    paint: middle('paint'),
    data: middle('data'),
    largest: middle('largest'),
    shift: middle('shift'),
    cpu: middle('cpu'),
    cpuAfter: middle('cpuAfter'),
    requests: middle('requests'),
    kilobytes: middle('kilobytes'),
  };
}

function held(row: Row): boolean {
  const bar = bars[row.page];
  return row.build !== 'this' || !bar || (row.paint < bar.paint && row.data < bar.data);
}

function answer(rows: readonly Row[], runs: number): object {
  const seconds = (milliseconds: number) => Math.round(milliseconds) / 1000;
  return {
    bench: 'ui',
    runs,
    slowed: 4,
    held: rows.every(held),
    pages: rows.map((row) => ({
      page: row.page,
      build: row.build,
      first_paint_seconds: seconds(row.paint),
      data_seconds: seconds(row.data),
      largest_paint_seconds: seconds(row.largest),
      layout_shift: Math.round(row.shift * 1000) / 1000,
      main_thread_seconds: seconds(row.cpu),
      main_thread_after_seconds: seconds(row.cpuAfter),
      requests: row.requests,
      kilobytes: Math.round(row.kilobytes),
    })),
  };
}

function table(rows: readonly Row[]): string {
  const heads = [
    'page',
    'first paint',
    'data',
    'largest',
    'shift',
    'main thread',
    'and after',
    'requests',
    'kB',
  ];
  const cells = rows.map((row) => {
    const bar = bars[row.page];
    const against = (value: number, limit: number | undefined) =>
      `${value.toFixed(0)} ms${row.build === 'this' ? ` (bar ${limit})` : ''}`;
    return [
      row.build === 'this' ? row.page : `${row.page}, that build`,
      against(row.paint, bar?.paint),
      against(row.data, bar?.data),
      `${row.largest.toFixed(0)} ms`,
      row.shift.toFixed(3),
      `${row.cpu.toFixed(0)} ms`,
      `${row.cpuAfter.toFixed(0)} ms`,
      String(row.requests),
      row.kilobytes.toFixed(0),
    ];
  });
  const widths = heads.map((head, at) => Math.max(head.length, ...cells.map((row) => row[at]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    row
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join('  ')
      .trimEnd();
  return `${[heads, ...cells].map(line).join('\n')}\n`;
}
