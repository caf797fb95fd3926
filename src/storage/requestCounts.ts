export interface RequestCounts {
  /** Requests that were sent, each repetition counted. */
  tries: number;
  /** Of them, those that failed and were repeated. */
  repeated: number;
  /** Requests that failed for good. */
  failed: number;
}

/** Requests to storages over a network, of this thread; a job's thread hands its own to whoever asked for the job. */
export const requestCounts: RequestCounts = { tries: 0, repeated: 0, failed: 0 };

export function addRequests(more: RequestCounts): void {
  for (const what of ['tries', 'repeated', 'failed'] as const) requestCounts[what] += more[what];
}

/** What was counted since the last call. */
export function takeRequests(): RequestCounts {
  const taken = { ...requestCounts };
  Object.assign(requestCounts, { tries: 0, repeated: 0, failed: 0 });
  return taken;
}
