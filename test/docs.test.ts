import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';
import { parse, stringify } from 'yaml';
import { parseConfig } from '../src/config.ts';
import { outsidePlugin } from '../src/configPlugin.ts';

/** Every piece of configuration that the pages show is one that homarus takes. (Those in examples/ are loaded by config.test.ts.) */

const page = (name: string): string => readFileSync(new URL(`../${name}`, import.meta.url), 'utf8');
const pages = [
  'README.md',
  ...readdirSync(new URL('../docs', import.meta.url))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];
const pieces = pages.flatMap((name) =>
  [...page(name).matchAll(/^```ya?ml\n(.*?)^```$/gms)].map(([, text], place) => ({
    where: `${name}, ${place + 1}`,
    text: text as string,
  })),
);

/** What a piece leaves out. */
const rest = {
  cluster: 'prod',
  storages: { main: { type: 'files', path: '/mnt/backups' } },
  nodes: [{ id: 'db1', root: '/data' }],
};
/** Where a plugin from outside is in the pages, and here. */
const places = new Map([['/opt/homarus/ledger', fileURLToPath(new URL('../examples/plugin', import.meta.url))]]);

test('the pages show some', () => {
  expect(pieces.length).toBeGreaterThanOrEqual(4);
});

test.each(pieces)('the configuration in $where is one', async ({ where, text }) => {
  const raw = { ...rest, ...(parse(text) as { cluster?: string; plugin?: { package?: string } }) };
  const named = raw.plugin?.package;
  if (raw.plugin && named !== undefined) raw.plugin.package = places.get(named) ?? named;
  const config = parseConfig(stringify(raw), where, await outsidePlugin(raw, where));
  expect(config.cluster).toBe(raw.cluster);
});

/** As GitHub makes them of headings. */
const anchors = (text: string): string[] =>
  [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
    (heading as string)
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );

test.each(['CHANGELOG.md', ...pages, 'docs/monitoring/README.md'])('links of %s lead to what is there', (name) => {
  const links = [...page(name).matchAll(/\]\((?!https?:)([^)\s]+)\)/g)].map(([, link]) => link as string);
  for (const link of links) {
    const [path = '', anchor] = link.split('#');
    const file = new URL(path === '' ? '' : path, new URL(`../${name}`, import.meta.url));
    expect([link, existsSync(file)]).toEqual([link, true]);
    if (anchor !== undefined)
      expect([link, anchors(readFileSync(file, 'utf8'))]).toEqual([link, expect.arrayContaining([anchor])]);
  }
});
