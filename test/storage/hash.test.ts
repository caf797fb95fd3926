import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { blake3, blake3Loaders, firstThatLoads } from '../../src/storage/hash.ts';

const native = blake3Loaders.native();
const wasm = blake3Loaders.wasm();
const bytes = fc.uint8Array({ maxLength: 5_000 }).map((array) => Buffer.from(array));

describe('the native module and the WebAssembly one', () => {
  test('hash alike, plain and with a key, however the content comes in parts', () => {
    const key = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((array) => Buffer.from(array));
    fc.assert(
      fc.property(fc.array(bytes, { maxLength: 4 }), fc.option(key, { nil: undefined }), (parts, secret) => {
        const expected = native.hash([Buffer.concat(parts)], secret);
        expect(native.hash(parts, secret)).toEqual(expected);
        expect(wasm.hash(parts, secret)).toEqual(expected);
      }),
    );
  });

  test('forget what they hashed before, also when it could not be hashed', () => {
    const key = Buffer.alloc(32, 7);
    for (const secret of [undefined, key]) {
      const expected = wasm.hash([Buffer.from('a')], secret);
      expect(() => native.hash([Buffer.from('b'), {} as never], secret)).toThrow();
      expect(native.hash([Buffer.from('a')], secret)).toEqual(expected);
    }
  });

  test('answer what the published test vectors say', () => {
    // https://github.com/BLAKE3-team/BLAKE3/blob/master/test_vectors/test_vectors.json, input_len 0 and 1.
    const empty = 'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262';
    const zero = '2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213';
    for (const module of [native, wasm]) {
      expect(module.hash([]).toString('hex')).toBe(empty);
      expect(module.hash([Buffer.from([0])]).toString('hex')).toBe(zero);
    }
  });
});

test('the second module takes over when the first does not load', () => {
  const broken = () => {
    throw new Error('no module for this machine');
  };
  expect(firstThatLoads([broken, blake3Loaders.wasm]).hash([])).toEqual(blake3.hash([]));
  expect(() => firstThatLoads([broken])).toThrow('no module for this machine');
});
