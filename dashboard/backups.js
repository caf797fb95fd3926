import { attempt, call } from './api.js';
import { ago, button, byId, counted, h, show, size, table, time } from './dom.js';
import { askToRestore } from './restore.js';

/** The backups: a line of time, and a table with retention's verdict on each. */

const FIRST = 25;
const LINE = 120;
let all = false;

/** @param {any[]} backups newest first @param {any[]} verdicts @param {any[]} nodes @param {() => void} changed */
export function showBackups(backups, verdicts, nodes, changed) {
  const verdictOf = new Map(verdicts.map((verdict) => [verdict.name, verdict]));
  const rows = all ? backups : backups.slice(0, FIRST);
  const ids = nodes.map(({ node }) => node);
  show('backups', [rows, backups.length, verdicts, ids], () => {
    if (backups.length === 0) return [h('p', { class: 'soft' }, 'None yet.')];
    const more = backups.length - rows.length;
    return [
      line(backups.slice(0, LINE).reverse()),
      h('p', { class: 'soft' }, totals(backups)),
      table(
        'Backups',
        ['backup', ...['files', 'size', 'added', 'saved'].map((title) => ({ title, number: true })), 'retention', ''],
        rows.map((backup) => row(backup, verdictOf.get(backup.name), ids, changed)),
      ),
      more > 0
        ? button(`Show ${more} more`, () => {
            all = true;
            changed();
          })
        : '',
    ];
  });
}

/** @param {any} backup @param {any} verdict @param {string[]} nodes @param {() => void} changed */
function row(backup, verdict, nodes, changed) {
  const { name, label, files, bytes, added, stored, partial, pinned, drill } = backup;
  const saved = bytes > 0 ? `${Math.round(100 * (1 - stored / bytes))} %` : '–';
  const path = `/v1/backups/${name}`;
  return [
    h(
      'span',
      {},
      h('span', { title: name }, time(backup.started)),
      label ? h('span', { class: 'soft' }, ` ${label}`) : '',
      partial ? h('span', { class: 'bad' }, ` without ${partial.join(', ')}`) : '',
      drill
        ? h(
            'span',
            { class: drill.ok ? 'good' : 'bad' },
            ` ${drill.ok ? 'restored' : 'not restored'} by a drill ${ago(drill.at)}`,
          )
        : '',
    ),
    files.toLocaleString(),
    size(bytes),
    `${size(added)} as ${size(stored)}`,
    saved,
    verdict
      ? h(
          'span',
          { class: verdict.keep ? 'good' : 'bad' },
          `${verdict.keep ? 'stays' : 'goes'}: ${verdict.reasons.join(', ')}`,
        )
      : '',
    h(
      'div',
      { class: 'actions' },
      button('Restore…', () => askToRestore(backup, nodes, changed), { 'aria-label': `Restore ${name}` }),
      pinned
        ? button(
            'Unpin',
            () => attempt(`${name} is not pinned any more.`, () => call('DELETE', `${path}/pin`)).then(changed),
            {
              'aria-label': `Unpin ${name}`,
            },
          )
        : button('Pin', () => attempt(`${name} is pinned.`, () => call('PUT', `${path}/pin`, {})).then(changed), {
            'aria-label': `Pin ${name}`,
          }),
      button('Delete…', () => askToDelete(name, changed), { 'aria-label': `Delete ${name}` }),
    ),
  ];
}

/** @param {string} name @param {() => void} changed */
function askToDelete(name, changed) {
  const dialog = /** @type {HTMLDialogElement} */ (byId('dialog'));
  const remove = async () => {
    dialog.close();
    await attempt(`The removal of ${name} has started.`, () => call('DELETE', `/v1/backups/${name}`));
    changed();
  };
  dialog.replaceChildren(
    h('h2', { id: 'dialog-title' }, `Delete ${name}?`),
    h('p', {}, 'It goes for good, and with it what no other backup needs.'),
    h(
      'div',
      { class: 'actions' },
      button('Delete it', remove, { class: 'main' }),
      button('Keep it', () => dialog.close()),
    ),
  );
  dialog.showModal();
}

/** @param {any[]} backups */
function totals(backups) {
  const stored = backups.reduce((sum, one) => sum + one.stored, 0);
  const bytes = backups.reduce((sum, one) => sum + one.bytes, 0);
  const ratio = stored > 0 ? `${(bytes / stored).toFixed(1)} times as much as they take` : 'nothing';
  return `${counted(backups.length, 'backup')} hold ${size(bytes)}, ${ratio} in the storage (${size(stored)}).`;
}

const SVG = 'http://www.w3.org/2000/svg';

/** A bar for each backup, oldest first: its size, and in it what it added. @param {any[]} backups */
function line(backups) {
  const most = Math.max(1, ...backups.map(({ bytes }) => bytes));
  const svg = document.createElementNS(SVG, 'svg');
  const largest = `The last ${counted(backups.length, 'backup')} by size, the largest ${size(most)}; the dark part is what was added.`;
  for (const [name, value] of Object.entries({
    class: 'line',
    viewBox: `0 0 ${Math.max(backups.length, 30) * 10} 100`,
    preserveAspectRatio: 'none',
    role: 'img',
    'aria-label': largest,
  }))
    svg.setAttribute(name, value);
  for (const [place, { name, bytes, added }] of backups.entries()) {
    for (const [kind, value] of /** @type {const} */ ([
      ['all', bytes],
      ['new', Math.min(added, bytes)],
    ])) {
      const bar = document.createElementNS(SVG, 'rect');
      const height = Math.max(1, (95 * value) / most);
      for (const [attribute, one] of Object.entries({
        class: kind,
        x: place * 10 + 1,
        y: 100 - height,
        width: 8,
        height,
      }))
        bar.setAttribute(attribute, String(one));
      const title = document.createElementNS(SVG, 'title');
      title.textContent = `${name}: ${size(bytes)}, added ${size(added)}`;
      bar.append(title);
      svg.append(bar);
    }
  }
  return svg;
}
