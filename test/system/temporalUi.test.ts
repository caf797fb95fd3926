import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll } from '@jest/globals';
import type { Browser, Page } from 'playwright-core';
import { chromium } from 'playwright-core';
import { TestCluster } from '../support/cluster.ts';
import { testNeeding } from '../support/needing.ts';

/** What docs/temporal-ui.md shows of Temporal's own UI, in a real browser on a real cluster. HOMARUS_SCREENSHOTS=FOLDER makes it anew. */

const LONG = 240_000;
const folder = process.env.HOMARUS_SCREENSHOTS;
const needsChromium = testNeeding('chromium');

let cluster: TestCluster | undefined;
let browser: Browser | undefined;
afterAll(async () => {
  await browser?.close();
  await cluster?.stop();
}, LONG);

async function picture(page: Page, name: string): Promise<void> {
  if (!folder) return;
  // For what fades in; only a picture needs it.
  await page.waitForTimeout(1_000);
  await page.screenshot({ path: join(folder, `${name}.png`) });
}

needsChromium(
  "Temporal's UI finds operations by cluster and kind, says what each node is at, and cancels",
  async () => {
    cluster = await TestCluster.start({
      storage: 'files',
      nodes: ['db1', 'db2', 'db3'],
      more: { parallelism: { uploadBytesPerSecond: '2MiB' } },
    });
    for (const node of cluster.nodes) writeFileSync(join(cluster.root(node), 'small'), randomBytes(100_000));
    await cluster.does('backup', '--label', 'nightly');
    for (const node of cluster.nodes) {
      for (let part = 0; part < 30; part++) {
        writeFileSync(join(cluster.root(node), `table-${part}`), randomBytes(4_000_000));
      }
    }
    const id = await cluster.begins('backup', '--label', 'before the upgrade');
    const running = await cluster.until(
      id,
      ({ progress }) =>
        progress?.phase === 'upload' && Object.values(progress.byNode).every(({ bytesDone }) => bytesDone > 20_000_000),
    );
    browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
    const page = await (await browser.newContext({ viewport: { width: 1300, height: 900 } })).newPage();
    const at = `${cluster.temporal.uiUrl}/namespaces/${cluster.temporal.namespace}/workflows`;

    const query = 'HomarusCluster="east" AND HomarusOperation="backup"';
    await page.goto(`${at}?query=${encodeURIComponent(query)}`);
    await page.getByText(running.id).first().waitFor({ timeout: LONG });
    await picture(page, 'temporal-list');

    await page.goto(`${at}/${id}`);
    await page.getByText('db1: 114 MiB to store').first().waitFor({ timeout: LONG });
    await picture(page, 'temporal-run');
    // With the run's id, which the UI has put there.
    const run = page.url().replace(/\/timeline$/, '');

    await page.goto(`${run}/user-metadata`);
    const details = page
      .frameLocator('iframe#user-metadata-current-details')
      .getByText(/^db1: at work, 114 MiB to store/);
    await details.first().waitFor({ timeout: LONG });
    await picture(page, 'temporal-details');

    await page.goto(`${run}/pending-activities`);
    const upload = page.getByText(/db1: \d+ % of 114 MiB/).first();
    await upload.waitFor({ timeout: LONG });
    await upload.scrollIntoViewIfNeeded();
    await picture(page, 'temporal-activities');

    await page.getByRole('button', { name: 'Request Cancellation' }).first().click();
    await page
      .getByRole('dialog')
      .getByText(/cancel/i)
      .first()
      .waitFor({ timeout: LONG });
    await picture(page, 'temporal-cancel');
    await page
      .getByRole('dialog')
      .getByRole('button', { name: /Confirm|Cancel/ })
      .last()
      .click();
    await cluster.until(id, ({ state }) => state === 'cancelled');
  },
  LONG,
);
