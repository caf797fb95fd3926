// The rooms, lowest first: each looks down, never up (docs/architecture.md).
const rooms = ['domain', 'storage', 'node', 'plugins', 'activities', 'workflows', 'client', 'workers', 'api', 'cli'];
const VALUES = ['type-only'];
const WORKFLOW_SAFE =
  '^src/(domain|workflows)/|^src/plugins/(flows|plugin|outside)[.]ts$|^src/plugins/[^/]+/flow[.]ts$';

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    ...rooms.slice(0, -1).map((room, floor) => ({
      name: `${room}-looks-down-only`,
      severity: 'error',
      comment: 'A room imports values only from rooms before it; types may be borrowed upward.',
      from: { path: `^src/${room}/` },
      to: { path: `^src/(${rooms.slice(floor + 1).join('|')})/`, dependencyTypesNot: VALUES },
    })),
    {
      name: 'domain-borrows-nothing',
      severity: 'error',
      from: { path: '^src/domain/' },
      to: { path: '^src/', pathNot: '^src/domain/' },
    },
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true, viaOnly: { dependencyTypesNot: VALUES } } },
    {
      name: 'workflow-safe-stays-inside',
      severity: 'error',
      comment: 'Workflow code must replay: no I/O, no Node, no npm values but the workflow package.',
      from: { path: WORKFLOW_SAFE },
      to: { pathNot: `${WORKFLOW_SAFE}|node_modules/@temporalio/(workflow|common)/`, dependencyTypesNot: VALUES },
    },
    {
      name: 'plugins-are-strangers',
      severity: 'error',
      from: { path: '^src/plugins/([^/]+)/' },
      to: { path: '^src/plugins/[^/]+/', pathNot: '^src/plugins/$1/|^src/plugins/etcd/' },
    },
    {
      name: 'api-knows-no-worker',
      severity: 'error',
      from: { path: '^src/api/' },
      to: { path: '^src/(workers|activities|node)/', dependencyTypesNot: VALUES },
    },
    {
      name: 'servers-are-for-dev-and-demo',
      severity: 'error',
      comment: 'Fetching and building servers is loaded by dev and demo alone.',
      from: { path: '^src/', pathNot: '^src/(cli/(dev|demo)|servers)' },
      to: { path: '^src/servers([.]ts$|/)' },
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
  },
};
