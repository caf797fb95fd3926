import type { ConnectionOptions } from '@temporalio/client';
import { Client, Connection } from '@temporalio/client';
import { HomarusError } from '../domain/errors.ts';

/** Where Temporal is, as the configuration says (or its environment). */
export interface TemporalTarget {
  namespace: string;
  connectionOptions: ConnectionOptions;
}

export interface Connected {
  client: Client;
  connection: Connection;
}

/** Answers of the server are refused beyond this size, bytes (its own limit is far below). */
const MOST_RECEIVED = 128 * 1024 * 1024;

/** Without it gRPC waits up to two minutes before it looks again for a server that was away, ms. */
const RECONNECT_WITHIN = 1_000;

/** Connects to Temporal; `TemporalUnreachable` with its address when nothing answers. */
export async function connectTemporal(target: TemporalTarget, options: { retry?: boolean } = {}): Promise<Connected> {
  const { address = 'localhost:7233' } = target.connectionOptions;
  try {
    const connection = await Connection.connect({
      ...target.connectionOptions,
      connectTimeout: '5s',
      channelArgs: {
        'grpc.max_receive_message_length': MOST_RECEIVED,
        'grpc.initial_reconnect_backoff_ms': 250,
        'grpc.max_reconnect_backoff_ms': RECONNECT_WITHIN,
      },
      ...(options.retry === false ? { interceptors: [] } : {}),
    });
    return { connection, client: new Client({ connection, namespace: target.namespace }) };
  } catch (cause) {
    throw new HomarusError('TemporalUnreachable', `Temporal does not answer at ${address}: ${reasonOf(cause)}`, {
      cause,
    });
  }
}

function reasonOf(error: unknown): string {
  const text = error instanceof Error ? (error.message ?? '') : String(error);
  return text.replace(/^Failed to connect before the deadline$/, 'nothing listens there, or it cannot be reached');
}
