import { attempt, call, follow } from './api.js';
import { button, counted, h, say, show, size } from './dom.js';

/** The operations that run, live: each is followed by its events. */

/** @type {Map<string, { panel: HTMLElement, stop: AbortController }>} */
const followed = new Map();

/** @param {any} cluster @param {() => void} changed */
export function showRunning(cluster, changed) {
  if (cluster.operations === null) {
    show('running', null, () => [h('p', {}, 'Temporal does not answer.')]);
    return;
  }
  for (const { id, kind } of cluster.operations) {
    if (followed.has(id)) continue;
    const panel = h('article', { 'aria-label': `${kind} ${id}` });
    const stop = new AbortController();
    followed.set(id, { panel, stop });
    const ui = cluster.temporalUi;
    void follow(id, (operation) => showOperation(panel, operation, ui, changed), stop.signal).then(() => {
      followed.delete(id);
      changed();
    });
  }
  if (followed.size === 0) show('running', 'nothing', () => [h('p', { class: 'soft' }, 'Nothing.')]);
  else show('running', [...followed.keys()], () => [...followed.values()].map(({ panel }) => panel));
}

/** @param {HTMLElement} panel @param {any} operation @param {string | null} temporalUi @param {() => void} changed */
function showOperation(panel, operation, temporalUi, changed) {
  const { id, kind, state, by, progress, error } = operation;
  if (state !== 'running') {
    say(error ? `${kind} ${state}: ${error.message}. ${error.hint}` : `${kind} ${state}.`);
    return;
  }
  const phase = progress
    ? `${progress.phase}${progress.step ? ` ${progress.step}` : ''}${progress.attempts > 1 ? ` (attempt ${progress.attempt} of ${progress.attempts})` : ''}`
    : 'no coordinator answers; it waits';
  const nodes = progress?.nodes ?? [];
  const focused = panel.contains(document.activeElement);
  panel.replaceChildren(
    h('p', {}, h('strong', {}, kind), ` · ${phase}`, by ? ` · asked by ${by}` : ''),
    progress?.lastFailure ? h('p', { class: 'problem' }, `Last failure: ${progress.lastFailure}`) : '',
    ...nodes.map((/** @type {string} */ node) => nodeLine(node, progress)),
    h(
      'div',
      { class: 'actions' },
      button(
        'Cancel',
        () => attempt(`${kind} was asked to stop.`, () => call('POST', `/v1/operations/${id}/cancel`)).then(changed),
        { 'aria-label': `Cancel ${kind} ${id}` },
      ),
      temporalUi ? h('a', { href: `${temporalUi}/${id}` }, "In Temporal's UI") : '',
    ),
  );
  if (focused) panel.querySelector('button')?.focus();
}

/** @param {string} node @param {any} progress */
function nodeLine(node, progress) {
  const done = progress.done.includes(node);
  const at = progress.byNode[node];
  const share = done ? 1 : at && at.bytesTotal > 0 ? at.bytesDone / at.bytesTotal : 0;
  const words = done
    ? 'done'
    : at
      ? `${Math.round(share * 100)} % of ${size(at.bytesTotal)}, ${counted(at.filesDone, 'file')}, ${size(at.rate)}/s`
      : 'waits';
  return h(
    'div',
    {},
    h('div', {}, `${node}: ${words}`),
    h('progress', { max: 1, value: share, 'aria-label': `Progress of ${node}` }),
  );
}
