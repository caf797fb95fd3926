/** Names below a node's root, which is M3's `filePathPrefix`. */

/** M3 locks it while it runs. */
export const LOCK_FILE = '.lock';

/** Ours: where files are put together for a snapshot. Below the root, so that hard links reach. */
export const HELD = '.homarus-m3';

/** In the order in which M3 moves samples. Some of them are there when M3 has ever run. */
export const DIRECTORIES = ['commitlogs', 'snapshots', 'data', 'index'];
