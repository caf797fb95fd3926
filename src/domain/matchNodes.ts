import type { NodeInfo } from './cluster.ts';
import { HomarusError } from './errors.ts';
import type { RestorePair } from './requests.ts';

export interface MatchOptions {
  /** Only these nodes of the cluster take anything. */
  only?: readonly string[] | undefined;
  /** Nodes that the backup is without: they keep what they have, rather than take another's files. */
  missing?: readonly string[];
  /** Pairs that are given: they go before ids and zones. */
  map?: readonly RestorePair[] | undefined;
}

/**
 * Which node of the cluster takes the files of which node of the backup: the one that `map` gives, else the one of the same
 * id, else the only one left in the same availability zone. Zones go by their names, never by rank. Without `only`, every
 * node of the backup must find one; `NodesDoNotMatch` names those that do not.
 */
export function matchNodes(
  from: readonly NodeInfo[],
  to: readonly NodeInfo[],
  { only, missing = [], map = [] }: MatchOptions = {},
): RestorePair[] {
  const unknown = (only ?? []).filter((id) => !to.some((node) => node.id === id));
  if (unknown.length > 0) {
    throw new HomarusError(
      'BadInput',
      `node: there is no ${listed(unknown)} in the cluster; it has ${listed(ids(to))}`,
    );
  }
  checkMap(map, from, to);
  const pairs: RestorePair[] = map.map((pair) => ({ from: pair.from, to: pair.to, how: 'map' }));
  const open = from.filter(({ id }) => !pairs.some((pair) => pair.from === id));
  const takers = to.filter(({ id }) => !pairs.some((pair) => pair.to === id));
  for (const { id } of open.filter((node) => has(takers, node.id))) pairs.push({ from: id, to: id, how: 'id' });
  const left = open.filter(({ id }) => !has(takers, id));
  const free = takers.filter(({ id }) => !has(open, id) && !missing.includes(id));
  for (const node of left) {
    const near = free.filter(({ az }) => az !== '' && az === node.az);
    const rivals = left.filter(({ az }) => az === node.az);
    const [taker] = near;
    if (taker && near.length === 1 && rivals.length === 1) pairs.push({ from: node.id, to: taker.id, how: 'az' });
  }
  const wanted = only === undefined ? undefined : new Set(only);
  const chosen = pairs.filter((pair) => wanted === undefined || wanted.has(pair.to));
  const unmatched = ids(from).filter((id) => !pairs.some((pair) => pair.from === id));
  const without = (only ?? []).filter((id) => !chosen.some((pair) => pair.to === id));
  if ((only === undefined && unmatched.length > 0) || without.length > 0) {
    const nodes = without.length > 0 ? without : unmatched;
    throw doNotMatch(from, to, nodes, {
      ofCluster: without.length > 0,
      partial: nodes.some((id) => missing.includes(id)),
    });
  }
  return chosen;
}

/** `BadInput` for nodes that are not there, and for a node that is named twice on one side. */
function checkMap(map: readonly RestorePair[], from: readonly NodeInfo[], to: readonly NodeInfo[]): void {
  for (const [place, pair] of map.entries()) {
    const text = `map: ${pair.from}=${pair.to}`;
    if (!has(from, pair.from)) {
      throw new HomarusError('BadInput', `${text}: the backup has no node ${pair.from}; it has ${listed(ids(from))}`);
    }
    if (!has(to, pair.to)) {
      throw new HomarusError('BadInput', `${text}: the cluster has no node ${pair.to}; it has ${listed(ids(to))}`);
    }
    const former = map.slice(0, place);
    if (former.some((other) => other.from === pair.from)) {
      throw new HomarusError('BadInput', `${text}: node ${pair.from} of the backup is given to one node only`);
    }
    const rival = former.find((other) => other.to === pair.to);
    if (rival) throw new HomarusError('BadInput', `${text}: node ${pair.to} takes the files of ${rival.from} already`);
  }
}

function doNotMatch(
  from: readonly NodeInfo[],
  to: readonly NodeInfo[],
  nodes: readonly string[],
  { ofCluster, partial }: { ofCluster: boolean; partial: boolean },
): HomarusError {
  const what = ofCluster
    ? `the backup has nothing for node ${listed(nodes)}`
    : `no node of the cluster can take the files of ${listed(nodes)}`;
  const sides = `the ${partial ? 'partial ' : ''}backup has ${listed(from.map(described))}, the cluster ${listed(to.map(described))}`;
  return new HomarusError('NodesDoNotMatch', `${what}, by id or by availability zone: ${sides}`);
}

const ids = (nodes: readonly NodeInfo[]): string[] => nodes.map(({ id }) => id);
const has = (nodes: readonly NodeInfo[], id: string): boolean => nodes.some((node) => node.id === id);
const described = ({ id, az }: NodeInfo): string => (az === '' ? id : `${id} (az ${az})`);
const listed = (names: readonly string[]): string => names.join(', ');
