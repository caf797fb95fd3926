import { createDecipheriv, hkdfSync, scryptSync } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { zstdDecompressSync } from 'node:zlib';
import { createHash, createKeyed } from 'blake3-wasm';

/**
 * The smallest reader of a repository in a directory, written from docs/format.md alone: nothing of ours is imported. It
 * believes nothing that it has not checked. An encrypted one it opens with a passphrase, or with the bytes of a key file.
 */

// biome-ignore lint/suspicious/noExplicitAny: documents as the page describes them
type Json = Record<string, any>;

const hashOf = (...parts: Uint8Array[]): Buffer => {
  const hash = createHash();
  for (const part of parts) hash.update(Buffer.from(part));
  return Buffer.from(hash.digest());
};
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const kinds = { root: 1, manifest: 2, pack: 5, index: 6, dataKey: 8 };
/** Section 7. */
const derive = (from: Uint8Array, salt: Uint8Array, purpose: string): Buffer =>
  Buffer.from(hkdfSync('sha256', from, salt, `homarus ${purpose}`, 32));
function decrypt(key: Buffer, nonce: Buffer, context: Buffer, stored: Buffer): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, nonce).setAAD(context).setAuthTag(stored.subarray(-16));
  return Buffer.concat([decipher.update(stored.subarray(0, -16)), decipher.final()]);
}

export type ReaderSecret = { passphrase: string } | { keyFile: Buffer };

export class RepositoryReader {
  readonly #directory: string;
  readonly #id: Buffer;
  readonly #chunks = new Map<string, { pack: string; offset: number; stored: number; inner: number; length: number }>();
  /** Of an encrypted repository. */
  readonly #master: Buffer | undefined;

  constructor(directory: string, secret?: ReaderSecret) {
    this.#directory = directory;
    const bytes = readFileSync(join(directory, 'repository.json'));
    const { id, encryption } = JSON.parse(bytes.toString());
    this.#id = Buffer.from(id, 'hex');
    check((encryption !== null) === (secret !== undefined), 'repository.json');
    if (secret) this.#master = this.#openSlot(secret, bytes);
  }

  /** Section 7: the master key from the first slot that opens. */
  #openSlot(secret: ReaderSecret, parameters: Buffer): Buffer {
    for (const name of readdirSync(join(this.#directory, 'keys')).filter((one) => /^[0-9a-f]{16}$/.test(one))) {
      const { version, kdf, wrapped } = JSON.parse(readFileSync(join(this.#directory, 'keys', name), 'utf8'));
      check(version === 1, name);
      if ((kdf.name === 'scrypt') !== 'passphrase' in secret) continue;
      const salt = Buffer.from(kdf.salt, 'hex');
      const key =
        'passphrase' in secret
          ? scryptSync(secret.passphrase, salt, 32, { N: kdf.n, r: kdf.r, p: kdf.p, maxmem: 2 ** 30 })
          : derive(secret.keyFile, salt, 'key file');
      const context = Buffer.concat([this.#id, Buffer.from(`keys/${name}`)]);
      try {
        const content = decrypt(key, Buffer.alloc(12), context, Buffer.from(wrapped, 'hex'));
        check(content.subarray(32).equals(hashOf(parameters)), 'repository.json');
        return content.subarray(0, 32);
      } catch {
        // Another's slot.
      }
    }
    throw new Error('no key slot opens');
  }

  /** Section 5: the root with the highest number. */
  root(): Json {
    const highest = readdirSync(join(this.#directory, 'roots')).sort().at(-1);
    return this.#json('root', `roots/${highest}`);
  }

  manifest(entry: Json): Json {
    const key = `manifests/${entry.name}~${entry.id}`;
    const bytes = readFileSync(join(this.#directory, key));
    check(bytes.length === entry.manifest.length && hex(hashOf(bytes)) === entry.manifest.hash, key);
    return this.#json('manifest', key);
  }

  /** Section 3. */
  readIndexes(root: Json): void {
    for (const { id, footer, hash } of root.indexes) {
      const key = `indexes/${id}`;
      const object = this.#object('index', key);
      const trailer = object.subarray(-8);
      check(trailer.toString('latin1', 4) === 'HOMF' && trailer.readUInt32LE(0) === footer, key);
      const at = object.length - 8 - footer;
      check(hex(hashOf(object.subarray(at, at + footer))) === hash, key);
      const { packs, pages } = JSON.parse(this.#block('index', key, at, object.subarray(at, at + footer)).toString());
      for (const page of pages) {
        const entries = this.#block('index', key, page.offset, object.subarray(page.offset, page.offset + page.stored));
        for (let entry = 0; entry < entries.length; entry += 52) {
          const [pack, offset, stored, inner, length] = [32, 36, 40, 44, 48].map((field) =>
            entries.readUInt32LE(entry + field),
          );
          this.#chunks.set(hex(entries.subarray(entry, entry + 32)), {
            pack: packs[pack!].id,
            offset: offset!,
            stored: stored!,
            inner: inner!,
            length: length!,
          });
        }
      }
    }
  }

  /** Section 2. */
  chunk(id: string): Buffer {
    const place = this.#chunks.get(id);
    check(place !== undefined, `chunk ${id}`);
    const key = `packs/${place.pack}`;
    const object = this.#object('pack', key);
    const block = this.#block('pack', key, place.offset, object.subarray(place.offset, place.offset + place.stored));
    const content = block.subarray(place.inner, place.inner + place.length);
    const name = this.#master ? createKeyed(derive(this.#master, Buffer.alloc(0), 'chunk names')) : createHash();
    check(hex(name.update(content).digest()) === id, `chunk ${id}`);
    return content;
  }

  /** The content of each file of a tree, by its path. Section 4. */
  files(tree: Json): Map<string, Buffer> {
    const { pages } = tree.pages ? tree : JSON.parse(this.chunk(tree.pageList.chunk).toString());
    const files = new Map<string, Buffer>();
    for (const page of pages) {
      const bytes = this.chunk(page.chunk);
      let previous = '';
      for (let at = 0; at < bytes.length; ) {
        const [length, start] = varint(bytes, at);
        const row = fieldsOf(bytes.subarray(start, start + length));
        at = start + length;
        const path =
          previous.slice(0, Number(row.get(1) ?? 0)) + ((row.get(2) as Buffer) ?? Buffer.alloc(0)).toString('latin1');
        previous = path;
        const parts: Buffer[] = row.get(10) ? [row.get(10) as Buffer] : [];
        const chunks = (row.get(11) as Buffer) ?? Buffer.alloc(0);
        for (let chunk = 0; chunk < chunks.length; chunk += 36)
          parts.push(this.chunk(hex(chunks.subarray(chunk, chunk + 32))));
        const isRun = row.has(13);
        if (isRun) files.set(path, Buffer.concat([files.get(path) as Buffer, ...parts]));
        else if (Number(row.get(3) ?? 0) === 0) files.set(path, Buffer.concat(parts));
      }
    }
    return files;
  }

  #json(kind: keyof typeof kinds, key: string): Json {
    const object = this.#object(kind, key);
    return JSON.parse(this.#block(kind, key, this.#header, object.subarray(this.#header)).toString());
  }

  /** Section 1. */
  #object(kind: keyof typeof kinds, key: string): Buffer {
    const object = readFileSync(join(this.#directory, key));
    check(object.toString('latin1', 0, 4) === 'HOMR' && object[4] === kinds[kind] && object[5] === 1, key);
    return object;
  }

  get #header(): number {
    return this.#master ? 44 : 12;
  }

  #block(kind: keyof typeof kinds, key: string, offset: number, stored: Buffer): Buffer {
    const place = Buffer.alloc(19 + key.length + 8);
    this.#id.copy(place);
    place[16] = kinds[kind];
    place.writeUInt16LE(key.length, 17);
    place.write(key, 19, 'latin1');
    place.writeBigUInt64LE(BigInt(offset), 19 + key.length);
    const body = this.#master ? this.#decrypted(kind, key, place, stored) : stored.subarray(0, -16);
    if (!this.#master) check(hashOf(place, body).subarray(0, 16).equals(stored.subarray(-16)), key);
    const content = body[0] === 1 ? zstdDecompressSync(body.subarray(5)) : body.subarray(5);
    check(content.length === body.readUInt32LE(1), key);
    return content;
  }

  /** Section 7. */
  #decrypted(kind: keyof typeof kinds, key: string, place: Buffer, stored: Buffer): Buffer {
    const object = this.#object(kind, key);
    check(object[6] === 1, key);
    const generation = object.readUInt32LE(8);
    check((generation === 0) === (kind !== 'pack' && kind !== 'index'), key);
    const dataKey = generation === 0 ? derive(this.#master!, Buffer.alloc(0), 'documents') : this.#dataKey(generation);
    const nonce = Buffer.concat([place.subarray(-8), Buffer.alloc(4)]);
    return decrypt(derive(dataKey, object.subarray(12, 44), `object ${kinds[kind]}`), nonce, place, stored);
  }

  #dataKey(generation: number): Buffer {
    const key = `keys/generation-${String(generation).padStart(16, '0')}`;
    return this.#block('dataKey', key, this.#header, this.#object('dataKey', key).subarray(this.#header));
  }
}

function check(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(`${what} is not what docs/format.md says`);
}

/** A number, and where what follows it begins. */
function varint(bytes: Buffer, from: number): [number, number] {
  let value = 0;
  for (let at = from, factor = 1; ; at++, factor *= 128) {
    const byte = bytes[at] as number;
    value += (byte & 127) * factor;
    if (byte < 128) return [value, at + 1];
  }
}

function fieldsOf(row: Buffer): Map<number, number | Buffer> {
  const fields = new Map<number, number | Buffer>();
  for (let at = 0; at < row.length; ) {
    const [key, value] = varint(row, at);
    const [number, end] = varint(row, value);
    const bytes = key % 8 === 2;
    fields.set(Math.floor(key / 8), bytes ? row.subarray(end, end + number) : number);
    at = bytes ? end + number : end;
  }
  return fields;
}
