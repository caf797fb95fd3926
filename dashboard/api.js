import { byId, say } from './dom.js';

/** Talking to the facade that served this page. */

const KEPT = 'homarus-token';

/** An answer that says no. */
export class Refused extends Error {
  /** @param {{ status: number, title: string, detail: string, hint: string }} problem */
  constructor(problem) {
    super(problem.detail);
    this.status = problem.status;
    this.hint = problem.hint;
  }
}

/** @param {string} method @param {string} path @param {object} [body] @param {AbortSignal} [signal] */
async function ask(method, path, body, signal) {
  const token = sessionStorage.getItem(KEPT);
  const answer = await fetch(path, {
    method,
    headers: {
      ...(token ? { authorization: `Bearer ${token}` } : {}),
      ...(body ? { 'content-type': 'application/json' } : {}),
    },
    ...(body ? { body: JSON.stringify(body) } : {}),
    ...(signal ? { signal } : {}),
  });
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({ status: answer.status, detail: answer.statusText, hint: '' }));
  if (problem.status === 401) byId('token').hidden = false;
  throw new Refused(problem);
}

/** @param {string} method @param {string} path @param {object} [body] @returns {Promise<any>} */
export const call = async (method, path, body) => (await ask(method, path, body)).json();

/** Does something, and says how it went. @template T @param {string} done @param {() => Promise<T>} act @returns {Promise<T | undefined>} */
export async function attempt(done, act) {
  try {
    const answer = await act();
    say(done);
    return answer;
  } catch (error) {
    const { message, hint = '' } = /** @type {Error & { hint?: string }} */ (error);
    say(`${message}. ${hint}`.replace('..', '.'));
    return undefined;
  }
}

/**
 * Follows an operation by its events until it ends, also over a facade that was restarted.
 * @param {string} id @param {(operation: any) => void} onChange @param {AbortSignal} signal
 */
export async function follow(id, onChange, signal) {
  while (!signal.aborted) {
    try {
      const answer = await ask('GET', `/v1/operations/${id}/events`, undefined, signal);
      for await (const { event, data } of eventsIn(answer)) {
        if (event === 'problem') say(data.detail);
        else onChange(data);
        if (event === 'end') return;
      }
    } catch (error) {
      if (error instanceof Refused && error.status < 500) return;
    }
    await new Promise((resolve) => setTimeout(resolve, 2_000));
  }
}

/** @param {Response} answer */
async function* eventsIn(answer) {
  const reader = /** @type {ReadableStream<Uint8Array>} */ (answer.body).getReader();
  const decoder = new TextDecoder();
  let text = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += decoder.decode(value, { stream: true });
    const blocks = text.split('\n\n');
    text = blocks.pop() ?? '';
    for (const block of blocks) {
      const [, event, data] = /^event: (\w+)\ndata: (.*)$/s.exec(block) ?? [];
      if (event && data) yield { event, data: JSON.parse(data) };
    }
  }
}

/** @param {() => void} again */
export function askForToken(again) {
  const form = /** @type {HTMLFormElement} */ (byId('token').querySelector('form'));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const field = /** @type {HTMLInputElement} */ (byId('token-field'));
    sessionStorage.setItem(KEPT, field.value.trim());
    field.value = '';
    byId('token').hidden = true;
    again();
  });
}
