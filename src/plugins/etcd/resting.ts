import type { IOptions } from 'etcd3';

type HostPolicy = ReturnType<NonNullable<NonNullable<IOptions['faultHandling']>['host']>>;

/** ms. */
const REST = 30_000;

/**
 * An endpoint that failed is asked no more for a while, as long as others do better: etcd3 takes one by chance for each call, and
 * every call to a member that is down would cost a pause.
 */
export class RestingEndpoints {
  readonly #endpoints: readonly string[];
  readonly #isFault: (error: Error) => boolean;
  readonly #resting = new Map<string, { until: number; error: Error }>();

  /** `isFault` says of an error whether the endpoint may be to blame. */
  constructor(endpoints: readonly string[], isFault: (error: Error) => boolean) {
    this.#endpoints = endpoints;
    this.#isFault = isFault;
  }

  /** As etcd3 has it of cockatiel: it goes on to another endpoint where the call is not even made. */
  policyOf(endpoint: string): HostPolicy {
    return {
      execute: async (call: (context: { signal: AbortSignal }) => unknown) => {
        const rest = this.#restOf(endpoint);
        if (rest !== undefined && this.#endpoints.some((other) => this.#restOf(other) === undefined)) throw rest.error;
        try {
          const answer = await call({ signal: new AbortController().signal });
          this.#resting.delete(endpoint);
          return answer;
        } catch (error) {
          const until = performance.now() + REST;
          if (this.#isFault(error as Error)) this.#resting.set(endpoint, { until, error: error as Error });
          throw error;
        }
      },
    } as unknown as HostPolicy;
  }

  #restOf(endpoint: string): { error: Error } | undefined {
    const rest = this.#resting.get(endpoint);
    return rest !== undefined && rest.until > performance.now() ? rest : undefined;
  }
}
