const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const;

/** A duration such as `90s`, `5m`, `1h`, `2d`, in ms. Throws an error that says what would be right. */
export function parseDuration(text: string): number {
  const [, count, unit] = /^(\d{1,9})(ms|s|m|h|d|w)$/.exec(text.trim()) ?? [];
  if (count === undefined) throw new Error(`"${text}" is no duration: give one such as 90s, 5m, 1h or 2d`);
  return Number(count) * UNITS[unit as keyof typeof UNITS];
}
