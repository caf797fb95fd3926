import { attempt, call, follow } from './api.js';
import { button, byId, counted, h, say, size, table } from './dom.js';

/** A restore in three steps: what and where, the plan, and go. The plan that is shown is the one that is done. */

/** @param {any} backup @param {string[]} nodes @param {() => void} changed */
export function askToRestore(backup, nodes, changed) {
  const dialog = /** @type {HTMLDialogElement} */ (byId('dialog'));
  const stop = new AbortController();
  dialog.addEventListener('close', () => stop.abort(), { once: true });
  const missing = backup.partial ?? [];
  const boxes = nodes
    .filter((node) => !missing.includes(node))
    .map((node) => ({ node, box: /** @type {HTMLInputElement} */ (h('input', { type: 'checkbox', checked: true })) }));
  const paths = /** @type {HTMLInputElement} */ (h('input', { type: 'text', placeholder: 'all' }));
  const to = /** @type {HTMLInputElement} */ (h('input', { type: 'text', placeholder: 'in place' }));
  const cancel = () => button('Close', () => dialog.close());

  const request = () => {
    const chosen = boxes.filter(({ box }) => box.checked).map(({ node }) => node);
    const globs = paths.value
      .split(',')
      .map((path) => path.trim())
      .filter(Boolean);
    return {
      backup: backup.name,
      ...(chosen.length < nodes.length ? { nodes: chosen } : {}),
      ...(globs.length > 0 ? { paths: globs } : {}),
      ...(to.value.trim() ? { to: to.value.trim() } : {}),
    };
  };

  function first() {
    dialog.replaceChildren(
      h('h2', { id: 'dialog-title' }, `Restore ${backup.name}, step 1 of 3: what and where`),
      h(
        'form',
        {
          class: 'fields',
          onsubmit: (/** @type {Event} */ event) => {
            event.preventDefault();
            void second(request());
          },
        },
        h('fieldset', {}, h('legend', {}, 'Nodes'), ...boxes.map(({ node, box }) => h('label', {}, box, ` ${node}`))),
        h('label', {}, 'Only these paths (globs, with commas between) ', paths),
        h('label', {}, 'Into another directory, on each node ', to),
        h('div', { class: 'actions' }, h('button', { type: 'submit', class: 'main' }, 'Show the plan'), cancel()),
      ),
    );
  }

  /** @param {any} asked */
  async function second(asked) {
    const title = h('h2', { id: 'dialog-title', tabindex: -1 }, `Restore ${backup.name}, step 2 of 3: the plan`);
    const words = h('p', {}, 'The nodes look at what they have …');
    dialog.replaceChildren(title, words, h('div', { class: 'actions' }, cancel()));
    title.focus();
    const started = await attempt('The nodes are asked.', () => call('POST', '/v1/restores/plan', asked));
    if (!started) return first();
    /** @type {any} */
    let ended;
    await follow(
      started.operation,
      (operation) => {
        ended = operation;
      },
      stop.signal,
    );
    if (stop.signal.aborted) return;
    if (!ended || ended.error || !ended.result) {
      words.replaceChildren(
        h('strong', { class: 'bad' }, 'It cannot be restored so: '),
        ended?.error?.message ?? 'no answer',
        ` ${ended?.error?.hint ?? ''}`,
      );
      return;
    }
    plan(asked, ended.result);
  }

  /** @param {any} asked @param {any} shown */
  function plan(asked, shown) {
    const pairOf = new Map(shown.pairs.map((/** @type {any} */ pair) => [pair.to, pair]));
    const rows = shown.nodes.map((/** @type {any} */ { node, files, kept, fetchBytes, removed, space }) => [
      node,
      `${pairOf.get(node)?.from} (by ${pairOf.get(node)?.how ?? 'id'})`,
      files.toLocaleString(),
      kept.toLocaleString(),
      size(fetchBytes),
      removed.toLocaleString(),
      space
        .map(
          (/** @type {any} */ { path, needed, freed, available }) =>
            `${path}: ${size(Math.max(0, needed - freed))} of ${size(available)}`,
        )
        .join('; '),
    ]);
    dialog.replaceChildren(
      h('h2', { id: 'dialog-title', tabindex: -1 }, `Restore ${backup.name}, step 2 of 3: the plan`),
      h(
        'p',
        { class: shown.fits ? '' : 'bad' },
        `${counted(shown.files, 'file')} with ${size(shown.bytes)}: ${shown.kept.toLocaleString()} are right already, ${size(shown.fetchBytes)} are fetched, ${shown.removed.toLocaleString()} removed.`,
        shown.fits ? '' : ' There is no room for it.',
      ),
      table(
        'Plan',
        [
          'node',
          'takes',
          ...['files', 'kept', 'fetched', 'removed'].map((title) => ({ title, number: true })),
          'space',
        ],
        rows,
      ),
      h(
        'div',
        { class: 'actions' },
        button('Restore it so', () => third(asked, shown), { class: 'main', disabled: !shown.fits }),
        button('Back', first),
        cancel(),
      ),
    );
    say('The plan is there.');
    /** @type {HTMLElement} */ (dialog.querySelector('h2')).focus();
  }

  /** @param {any} asked @param {any} shown */
  async function third(asked, shown) {
    const map = shown.pairs.map((/** @type {any} */ { from, to: taker }) => ({ from, to: taker }));
    const started = await attempt('The restore has started.', () => call('POST', '/v1/restores', { ...asked, map }));
    changed();
    if (!started) return;
    dialog.replaceChildren(
      h('h2', { id: 'dialog-title' }, `Restore ${backup.name}, step 3 of 3`),
      h('p', {}, 'It has started, and goes on whether this page is open or not: ', h('code', {}, started.operation)),
      h('div', { class: 'actions' }, cancel()),
    );
  }

  first();
  dialog.showModal();
}
