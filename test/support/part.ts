/**
 * `HOMARUS_PART=2/5` runs the second fifth of what HOMARUS_LONG=1 has so much of that it takes hours: of things numbered
 * from 0, those of this part.
 */
const [part, parts] = (process.env.HOMARUS_PART ?? '1/1').split('/').map(Number) as [number, number];

export const isOurs = (number: number): boolean => number % parts === part - 1;
