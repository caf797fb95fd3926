/** Building pages without a framework: nodes, never markup, so nothing that comes from elsewhere is ever run. */

/**
 * @param {string} tag
 * @param {Record<string, unknown>} [props] `onclick` and the like are listeners, `class`, `data-…` and `aria-…` attributes
 * @param {...(Node | string | null | undefined | false)} children
 * @returns {HTMLElement}
 */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === 'function') node.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else node.setAttribute(name, value === true ? '' : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** @param {string} id @returns {HTMLElement} */
export const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** Replaces what a section shows, but only when it would show something else: what has the focus keeps it. */
const shown = new Map();
/** @param {string} id @param {unknown} data what is shown @param {() => (Node | string)[]} build */
export function show(id, data, build) {
  const now = JSON.stringify(data);
  if (shown.get(id) === now) return;
  shown.set(id, now);
  const section = byId(id);
  (section.querySelector('.body') ?? section).replaceChildren(...build());
}

/** @param {string} text read out by screen readers, too */
export function say(text) {
  byId('says').textContent = text;
}

/**
 * @param {string} caption for screen readers
 * @param {(string | { title: string, number?: boolean })[]} titles
 * @param {(Node | string)[][]} rows the first cell is the row's title
 */
export function table(caption, titles, rows) {
  const columns = titles.map((title) => (typeof title === 'string' ? { title, number: false } : title));
  const classOf = (/** @type {number} */ place) => (columns[place]?.number ? 'number' : undefined);
  return h(
    'div',
    { class: 'wide', role: 'region', 'aria-label': caption, tabindex: 0 },
    h(
      'table',
      { class: 'stack' },
      h(
        'thead',
        {},
        h('tr', {}, ...columns.map(({ title }, place) => h('th', { scope: 'col', class: classOf(place) }, title))),
      ),
      h(
        'tbody',
        {},
        ...rows.map((row) =>
          h(
            'tr',
            {},
            ...row.map((cell, place) =>
              place === 0
                ? h('th', { scope: 'row' }, cell)
                : h('td', { class: classOf(place), 'data-title': columns[place]?.title }, cell),
            ),
          ),
        ),
      ),
    ),
  );
}

/** @param {string} text @param {() => unknown} act @param {Record<string, unknown>} [more] */
export const button = (text, act, more = {}) => h('button', { type: 'button', onclick: act, ...more }, text);

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
/** @param {number} bytes */
export function size(bytes) {
  let value = bytes;
  let unit = 0;
  for (; value >= 1024 && unit < UNITS.length - 1; unit++) value /= 1024;
  return `${value.toFixed(unit === 0 || value >= 100 ? 0 : 1)} ${UNITS[unit]}`;
}

/** @param {string} iso as people read it where they are */
export const time = (iso) => new Date(iso).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' });

/** @param {string} iso */
export function ago(iso) {
  const minutes = Math.round((Date.now() - Date.parse(iso)) / 60_000);
  if (minutes < 1) return 'just now';
  if (minutes < 120) return `${minutes} min ago`;
  return minutes < 48 * 60 ? `${Math.round(minutes / 60)} h ago` : `${Math.round(minutes / 1_440)} days ago`;
}

/** @param {number} count @param {string} what */
export const counted = (count, what) => `${count.toLocaleString()} ${what}${count === 1 ? '' : 's'}`;
