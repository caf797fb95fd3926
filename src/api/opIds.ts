/**
 * Astacus knows an operation by a number. Ours is made of what ends the workflow's id, time and random part
 * (`backup-prod-20261124T031500Z-4f2a`), so the workflow is found again from it and nobody has to remember anything.
 */
const RANDOM = 0x1_0000;

/** Undefined for an operation whose id has another end: one with an idempotency key, or of a schedule. */
export function opIdOf(operation: string): number | undefined {
  const [, year, month, day, hour, minute, second, random = ''] =
    /-(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z-([0-9a-f]{4})$/.exec(operation) ?? [];
  if (year === undefined) return undefined;
  const time = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  return (time / 1000) * RANDOM + Number.parseInt(random, 16);
}

/** Undefined where the number is none of ours. */
export function operationOf(kind: string, cluster: string, opId: number): string | undefined {
  const time = new Date(Math.floor(opId / RANDOM) * 1000);
  if (!Number.isSafeInteger(opId) || opId < 0 || Number.isNaN(time.getTime())) return undefined;
  const random = (opId % RANDOM).toString(16).padStart(4, '0');
  return `${kind}-${cluster}-${time.toISOString().replaceAll(/[-:]|\.\d+/g, '')}-${random}`;
}
