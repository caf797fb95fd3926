#!/usr/bin/env node
// Checked before anything else is loaded: what follows does not parse on an older Node.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 22 || (major === 22 && minor < 15)) {
  process.stderr.write(
    `homarus needs Node 22.15 or newer; this is ${process.versions.node} (${process.execPath}). ` +
      'In a checkout use "npx homarus" or "npm run": they bring the pinned Node 24.\n',
  );
  process.exit(2);
}
await import('../dist/cli/main.js');
