import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from '@jest/globals';
import { testNeeding } from '../support/needing.ts';

/** What docs/monitoring gives to Prometheus and Grafana, judged by Prometheus' own tool. */

const directory = fileURLToPath(new URL('../../docs/monitoring/', import.meta.url));
const test = testNeeding('promtool');

const promtool = (...args: string[]): string => execFileSync('promtool', args, { cwd: directory, encoding: 'utf8' });

test('the alert rules are understood, and each is raised when it should be', async () => {
  expect(promtool('check', 'rules', 'alerts.yaml')).toContain('SUCCESS');
  expect(promtool('test', 'rules', 'alerts.test.yaml')).toContain('SUCCESS');
});

test("the dashboard asks for metrics that the page lists, in Prometheus' language", async () => {
  const page = readFileSync(`${directory}README.md`, 'utf8');
  const { panels } = JSON.parse(readFileSync(`${directory}grafana.json`, 'utf8')) as {
    panels: { targets: { expr: string }[] }[];
  };
  const expressions = panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
  expect(expressions.length).toBeGreaterThan(10);
  const named = expressions.flatMap((expr) => expr.match(/\b(?:homarus|temporal)_\w+/g) ?? []);
  for (const name of named) expect(page).toContain(name.replace(/_bucket$/, ''));
});
