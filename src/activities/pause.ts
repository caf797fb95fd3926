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
