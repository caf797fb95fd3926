import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from '@jest/globals';
import type { Browser, Page } from 'playwright-core';
import { chromium } from 'playwright-core';
import { newToken } from '../../src/api/tokens.ts';
import { changeSampleTree, differences, fingerprint, makeSampleTree } from '../../src/cli/sampleTree.ts';
import { TestCluster } from '../support/cluster.ts';
import { testNeeding } from '../support/needing.ts';

/** The dashboard in a real browser, on a real cluster. HOMARUS_SCREENSHOTS=FOLDER keeps what it looks like. */

const LONG = 240_000;
const CHROMIUM = '/usr/bin/chromium';
const token = newToken('browser', 'operate');
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const needsChromium = testNeeding('chromium');

let cluster: TestCluster | undefined;
let browser: Browser | undefined;
const faults: string[] = [];

async function start(): Promise<TestCluster> {
  const started = await TestCluster.start({
    storage: 'files',
    lock: { ttl: '12s', refresh: '1s', heartbeat: '5s', throttle: '500ms' },
    more: ({ api }) => {
      const { token: _, ...hash } = token;
      return {
        api: { port: Number(new URL(api).port), tokens: [hash] },
        retention: { keepLast: 1, keepDaily: 7 },
        schedules: { nightly: { operation: 'backup', cron: '0 3 * * *' } },
      };
    },
  });
  for (const [seed, node] of started.nodes.entries())
    makeSampleTree(started.root(node), { seed, sharedSeed: 7, files: 300 });
  await started.launch('api');
  return started;
}

beforeAll(() => {
  if (process.env.HOMARUS_SCREENSHOTS) mkdirSync(process.env.HOMARUS_SCREENSHOTS, { recursive: true });
});
afterAll(async () => {
  await browser?.close();
  await cluster?.stop();
}, LONG);

async function open(width: number, colorScheme: 'light' | 'dark'): Promise<Page> {
  const context = await browser!.newContext({ viewport: { width, height: 900 }, colorScheme });
  const page = await context.newPage();
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('console', (message) => {
    // A 401 before the token is given is what it is for.
    if (message.type() === 'error' && !/401/.test(message.text())) faults.push(message.text());
  });
  await page.goto(`${cluster!.api}/`);
  await page.getByLabel('This facade asks for a token').fill(token.token);
  await page.getByRole('button', { name: 'Use it' }).click();
  await page.getByRole('region', { name: 'Nodes' }).first().waitFor();
  return page;
}

/** What axe finds that is serious. */
async function unusable(page: Page): Promise<string[]> {
  // In a world of its own: the page's policy lets no other script run.
  const session = await page.context().newCDPSession(page);
  const { frameTree } = await session.send('Page.getFrameTree');
  const { executionContextId } = await session.send('Page.createIsolatedWorld', { frameId: frameTree.frame.id });
  const evaluate = (expression: string) =>
    session.send('Runtime.evaluate', {
      expression,
      contextId: executionContextId,
      awaitPromise: true,
      returnByValue: true,
    });
  await evaluate(axe);
  const { result, exceptionDetails } = await evaluate(
    'axe.run().then(({ violations }) => violations.map(({ id, impact, nodes }) => ({ id, impact, at: nodes.map(({ html }) => html) })))',
  );
  if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
  const found = result.value as { id: string; impact: string; at: string[] }[];
  return found
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, at }) => `${id}: ${at.join(' | ').slice(0, 500)}`);
}

async function picture(page: Page, name: string): Promise<void> {
  const folder = process.env.HOMARUS_SCREENSHOTS;
  if (folder) await page.screenshot({ path: join(folder, `${name}.png`) });
}

needsChromium(
  'a browser starts a backup, sees it end, restores what was lost by a plan that it was shown, and works by keyboard, on a phone, and in the dark',
  async () => {
    cluster = await start();
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
    const page = await open(1200, 'light');
    await page.getByRole('button', { name: 'Back up now' }).click();
    await page
      .getByRole('button', { name: /^Restore / })
      .first()
      .waitFor({ timeout: LONG });
    await page
      .getByText(/stays: /)
      .first()
      .waitFor();
    for (const node of cluster.nodes) changeSampleTree(cluster.root(node), 9);
    await cluster.does('backup', '--label', 'a day later');
    await page.getByText('a day later').waitFor({ timeout: LONG });
    expect(await page.getByText('alive').count()).toBe(3);
    expect(await unusable(page)).toEqual([]);
    await picture(page, 'dashboard');

    const before = fingerprint(cluster.root('n2'));
    rmSync(join(cluster.root('n2'), 'log'), { recursive: true });
    // By keyboard alone.
    await page
      .getByRole('button', { name: /^Restore / })
      .first()
      .focus();
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: /step 1 of 3/ }).waitFor();
    await page.getByRole('button', { name: 'Show the plan' }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Restore it so' }).waitFor({ timeout: LONG });
    expect(await page.getByText('n2 (by id)').count()).toBe(1);
    expect(await unusable(page)).toEqual([]);
    await picture(page, 'plan');
    await page.getByRole('button', { name: 'Restore it so' }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: /step 3 of 3/ }).waitFor({ timeout: LONG });
    const id = (await page.locator('dialog code').textContent()) as string;
    await page.keyboard.press('Escape');
    expect(await cluster.end(id)).toMatchObject({
      kind: 'restore',
      state: 'succeeded',
      by: expect.stringContaining('browser'),
    });
    expect(differences(before, fingerprint(cluster.root('n2'))).filter((path) => path !== '')).toEqual([]);

    await page.getByRole('button', { name: 'Pause nightly' }).click();
    await page.getByRole('button', { name: 'Resume nightly' }).waitFor();
    await page.getByRole('button', { name: /^Pin / }).first().click();
    await page.getByText(/stays: pinned/).waitFor();

    // A lock stands in for an operation that takes its time.
    const held = (await cluster.does('lock', '--for', '10m')).operation as string;
    await page.getByRole('button', { name: `Cancel lock ${held}` }).click();
    expect((await cluster.end(held)).state).toBe('cancelled');

    const phone = await open(390, 'dark');
    await phone.getByText('a day later').waitFor();
    const overflow = await phone.evaluate(
      'document.documentElement.scrollWidth - document.documentElement.clientWidth',
    );
    expect(overflow).toBe(0);
    expect(await unusable(phone)).toEqual([]);
    await picture(phone, 'phone');
    expect(faults).toEqual([]);
  },
  LONG,
);
