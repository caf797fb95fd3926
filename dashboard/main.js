import { askForToken, attempt, call } from './api.js';
import { showBackups } from './backups.js';
import { showCluster, showOperations, showProblems, showSchedules } from './cluster.js';
import { byId } from './dom.js';
import { showRunning } from './running.js';

/** Looks at the cluster again and again, and shows what changed. */

const LOOK_AGAIN = 5_000;
/** While something runs, ms. */
const SOON = 1_500;

let timer = 0;
let looking = false;

async function look() {
  if (looking) return;
  looking = true;
  clearTimeout(timer);
  let busy = false;
  try {
    const [cluster, listed] = await Promise.all([call('GET', '/v1/cluster'), call('GET', '/v1/backups')]);
    busy = cluster.operations?.length > 0;
    showCluster(cluster);
    const { verdicts } = await call('POST', '/v1/cleanups/plan', {});
    showBackups(listed.backups, verdicts, cluster.nodes ?? [], look);
    showRunning(cluster, look);
    const live = cluster.nodes !== null;
    showSchedules(live ? (await call('GET', '/v1/schedules')).schedules : null, look);
    showOperations(live ? (await call('GET', '/v1/operations?limit=20')).operations : null, cluster.temporalUi);
    showProblems(cluster.problems, cluster.overdue);
  } catch (error) {
    const { status, message, hint = '' } = /** @type {Error & { status?: number, hint?: string }} */ (error);
    if (status !== 401) showProblems([{ title: 'No answer', detail: message, hint }], null);
  }
  looking = false;
  timer = setTimeout(look, busy ? SOON : LOOK_AGAIN);
}

byId('start').addEventListener('click', () => {
  void attempt('The backup has started.', () => call('POST', '/v1/backups', {})).then(look);
});
askForToken(look);
void look();
