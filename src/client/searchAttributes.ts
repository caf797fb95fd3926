import type { Connection } from '@temporalio/client';
import { ServiceError } from '@temporalio/client';
import type { SearchAttributePair } from '@temporalio/common';
import { searchAttributes } from '../domain/searchAttributes.ts';

const ALREADY_EXISTS = 6;
const INVALID_ARGUMENT = 3;

/** `INDEXED_VALUE_TYPE_KEYWORD` of Temporal's API. */
const KEYWORD = 2;

/** Makes Temporal know our search attributes. Rejects where we may not: then operations run without them. */
export async function ensureSearchAttributes(connection: Connection, namespace: string): Promise<void> {
  const missing = await missingSearchAttributes(connection, namespace);
  if (missing.length === 0) return;
  try {
    await connection.operatorService.addSearchAttributes({
      namespace,
      searchAttributes: Object.fromEntries(missing.map((name) => [name, KEYWORD])),
    });
  } catch (error) {
    if ((error as { code?: unknown }).code !== ALREADY_EXISTS) throw error;
  }
}

/** The names of ours that Temporal does not know. */
export async function missingSearchAttributes(
  connection: Pick<Connection, 'operatorService'>,
  namespace: string,
): Promise<string[]> {
  const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
  const names = Object.values(searchAttributes).map(({ name }) => name);
  return names.filter((name) => !Object.hasOwn(customAttributes ?? {}, name));
}

/** Those of an operation from its start on; it adds the others itself. */
export const attributesOf = (cluster: string, operation: string): SearchAttributePair[] => [
  { key: searchAttributes.cluster, value: cluster },
  { key: searchAttributes.operation, value: operation },
];

/** Does it with our search attributes, and without them on a server that does not know them. */
export async function withAttributes<T>(
  attributes: SearchAttributePair[],
  start: (options: { typedSearchAttributes?: SearchAttributePair[] }) => Promise<T>,
): Promise<T> {
  try {
    return await start({ typedSearchAttributes: attributes });
  } catch (error) {
    if (!isUnknownAttribute(error)) throw error;
    return start({});
  }
}

function isUnknownAttribute(error: unknown): boolean {
  const cause = error instanceof ServiceError ? error.cause : error;
  const { code, details } = (cause ?? {}) as { code?: unknown; details?: unknown };
  return code === INVALID_ARGUMENT && /search attribute/i.test(String(details));
}
