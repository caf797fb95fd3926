import { existsSync } from 'node:fs';

const swc = { jsc: { target: 'es2022', parser: { syntax: 'typescript' } }, module: { type: 'es6' } };
const common = {
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  transform: { '\\.ts$': ['@swc/jest', swc] },
  transformIgnorePatterns: ['/node_modules/'],
  setupFiles: ['<rootDir>/test/support/chance.ts'],
};

/** @type {import('jest').Config} */
export default {
  // A machine that does other things too is slow, not wrong. (A project's own time-out is not read.)
  testTimeout: 60_000,
  projects: [
    {
      ...common,
      displayName: 'unit',
      roots: ['<rootDir>/test'],
      testPathIgnorePatterns: [
        '/node_modules/',
        ...['integration', 'faults', 'system'].map((project) => `<rootDir>/test/${project}/`),
      ],
    },
    { ...common, displayName: 'integration', roots: ['<rootDir>/test/integration'] },
    { ...common, displayName: 'faults', roots: ['<rootDir>/test/faults'] },
    ...(existsSync(new URL('test/system', import.meta.url))
      ? [{ ...common, displayName: 'system', roots: ['<rootDir>/test/system'] }]
      : []),
  ],
};
