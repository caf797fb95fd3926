import { setTimeout as sleep } from 'node:timers/promises';

/** Waits, or rejects with the signal's reason at once. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
}

/** Rejects with the signal's reason when it comes: for what has nothing more to do, and whose end nobody waits for. */
export async function toldToEnd(signal: AbortSignal): Promise<never> {
  signal.throwIfAborted();
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}
