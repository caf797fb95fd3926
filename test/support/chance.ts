import fc from 'fast-check';

/**
 * What is left to chance in tests. It is the same in every run, so that CI says the same of the same code; `HOMARUS_SEED=NUMBER`
 * chooses others.
 */
const seed = Number(process.env.HOMARUS_SEED ?? 20_261_125);

fc.configureGlobal({ seed });

let state = seed >>> 0;

/** From 0 up to 1, as https://prng.di.unimi.it/splitmix64.c cut to 32 bits has it. */
export function chance(): number {
  state = (state + 0x9e3779b9) >>> 0;
  let mixed = state;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32;
}
