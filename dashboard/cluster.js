import { attempt, call } from './api.js';
import { ago, button, byId, h, show, size, table, time } from './dom.js';

/** Nodes, schedules, the latest operations, and what is wrong. */

/** @param {any} cluster */
export function showCluster(cluster) {
  byId('cluster').textContent = cluster.cluster;
  document.title = `${cluster.cluster} · Homarus`;
  const { lastBackup: last, lock } = cluster;
  const parts = [
    last
      ? `Last backup ${ago(last.finished)}: ${last.files.toLocaleString()} files, ${size(last.bytes)}`
      : 'No backup yet',
    lock?.holder && !lock.expired ? `locked by ${lock.holder.kind} (${lock.holder.by})` : 'not locked',
  ];
  byId('summary').textContent = `${parts.join(' · ')}.`;
  const { nodes } = cluster;
  show(
    'nodes',
    nodes?.map((/** @type {any} */ { node, az, alive, worker }) => [node, az, alive, worker]),
    () => [
      nodes === null
        ? h('p', {}, 'Temporal does not answer, so nobody knows.')
        : table(
            'Nodes',
            ['node', 'zone', 'state', 'worker'],
            nodes.map((/** @type {any} */ { node, az, alive, worker }) => [
              node,
              az || '–',
              h('span', { class: alive ? 'good' : 'bad' }, alive ? 'alive' : 'no worker'),
              worker ?? '–',
            ]),
          ),
    ],
  );
}

/** @param {{ title: string, detail: string, hint: string }[]} problems @param {boolean | null} overdue */
export function showProblems(problems, overdue) {
  const all = [...problems];
  if (overdue) all.push({ title: 'Overdue', detail: 'The last complete backup is older than it may be', hint: '' });
  show('problems', all, () =>
    all.map(({ title, detail, hint }) =>
      h('p', { class: 'problem' }, h('strong', { class: 'bad' }, `${title}: `), `${detail}. ${hint}`),
    ),
  );
}

/** @param {any[] | null} schedules @param {() => void} changed */
export function showSchedules(schedules, changed) {
  const act = (/** @type {string} */ name, /** @type {string} */ verb, /** @type {string} */ done) => () =>
    attempt(`Schedule ${name} ${done}.`, () => call('POST', `/v1/schedules/${name}/${verb}`)).then(changed);
  show('schedules', schedules, () => [
    schedules === null
      ? h('p', {}, 'Temporal does not answer.')
      : schedules.length === 0
        ? h('p', { class: 'soft' }, 'None. They stand in the configuration, under schedules.')
        : table(
            'Schedules',
            ['schedule', 'operation', 'when', 'next', 'last', ''],
            schedules.map(({ name, operation, when, paused, note, next, last }) => [
              name,
              operation,
              when,
              paused ? `paused${note ? ` (${note})` : ''}` : next ? time(next) : 'never',
              last ? `${last.state}, ${ago(last.at)}` : 'never',
              h(
                'div',
                { class: 'actions' },
                paused
                  ? button('Resume', act(name, 'resume', 'goes on'), { 'aria-label': `Resume ${name}` })
                  : button('Pause', act(name, 'pause', 'is paused'), { 'aria-label': `Pause ${name}` }),
                button('Run now', act(name, 'trigger', 'was started'), { 'aria-label': `Run now: ${name}` }),
              ),
            ]),
          ),
  ]);
}

/** @param {any[] | null} operations @param {string | null} temporalUi */
export function showOperations(operations, temporalUi) {
  const link = (/** @type {string} */ id) =>
    temporalUi ? h('a', { href: `${temporalUi}/${id}` }, id) : h('code', {}, id);
  show('operations', [operations, temporalUi], () => [
    operations === null
      ? h('p', {}, 'Temporal does not answer.')
      : operations.length === 0
        ? h('p', { class: 'soft' }, 'None that Temporal remembers.')
        : table(
            'Operations',
            ['operation', 'state', 'started', 'by'],
            operations.map(({ id, state, started, by }) => [
              link(id),
              h('span', { class: state === 'succeeded' ? 'good' : state === 'failed' ? 'bad' : 'soft' }, state),
              time(started),
              by || '–',
            ]),
          ),
  ]);
}
