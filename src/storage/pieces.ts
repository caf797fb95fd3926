import { Readable } from 'node:stream';
import { NodeHttpHandler } from '@smithy/node-http-handler';

type Options = ConstructorParameters<typeof NodeHttpHandler>[0];
type Request = Parameters<NodeHttpHandler['handle']>[0];
type Sending = NonNullable<Parameters<NodeHttpHandler['handle']>[1]>;

/** So much is handed to a file or a connection at once, bytes. */
const PIECE_BYTES = 256 * 1024;
const changing = new Set(['PUT', 'POST', 'DELETE']);

/** Slices of `body`; `ask` is called before each, and throws to end it there. */
export function* pieces(body: Uint8Array, ask: () => void): Generator<Uint8Array> {
  for (let at = 0; at < body.length; at += PIECE_BYTES) {
    ask();
    yield body.subarray(at, at + PIECE_BYTES);
  }
}

/**
 * Sends requests so that they can be ended at any piece of their body: what changes the storage asks `mayWrite` first, and
 * again before each piece; and says `sent` of each piece, with the signal that the request was given.
 */
export class PiecewiseHandler extends NodeHttpHandler {
  readonly #mayWrite: () => void;
  readonly #sent: (signal: object | undefined) => void;

  constructor(options: Options, mayWrite: () => void, sent: (signal: object | undefined) => void) {
    super(options);
    this.#mayWrite = mayWrite;
    this.#sent = sent;
  }

  override async handle(request: Request, sending: Sending = {}): ReturnType<NodeHttpHandler['handle']> {
    if (!changing.has(request.method)) return super.handle(request, sending);
    this.#mayWrite();
    if (!(request.body instanceof Uint8Array) || request.body.length <= PIECE_BYTES)
      return super.handle(request, sending);
    const { abortSignal } = sending;
    const ended = new AbortController();
    let why: unknown;
    const ask = (): void => {
      this.#sent(abortSignal);
      this.#mayWrite();
    };
    // A pipe does not end the request when its source fails.
    const body = Readable.from(pieces(request.body, ask)).once('error', (error) => {
      why = error;
      ended.abort(error);
    });
    const signals = [ended.signal, abortSignal as AbortSignal | undefined].filter((signal) => signal !== undefined);
    try {
      request.body = body;
      return await super.handle(request, { ...sending, abortSignal: AbortSignal.any(signals) });
    } catch (error) {
      throw why ?? error;
    } finally {
      body.destroy();
    }
  }
}
