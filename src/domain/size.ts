const UNITS = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 } as const;

/** A size such as `512MiB` or `10GiB`, in bytes. Throws an error that says what would be right. */
export function parseSize(text: string): number {
  const [, count, unit] = /^(\d{1,9})\s?(B|KiB|MiB|GiB|TiB)$/.exec(text.trim()) ?? [];
  if (count === undefined) throw new Error(`"${text}" is no size: give one such as 512MiB or 10GiB`);
  return Number(count) * UNITS[unit as keyof typeof UNITS];
}

/** A share such as `5%` as a number: 0.05. Throws an error that says what would be right. */
export function parseShare(text: string): number {
  const [, percent] = /^(\d{1,4}(?:\.\d+)?)\s?%$/.exec(text.trim()) ?? [];
  if (percent === undefined) throw new Error(`"${text}" is no share: give one such as 5% or 0.5%`);
  return Number(percent) / 100;
}
