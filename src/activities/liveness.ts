import { ApplicationFailure, CancelledFailure, CompleteAsyncError, Context } from '@temporalio/activity';
import type { Connection } from '@temporalio/client';
import { defaultPayloadConverter } from '@temporalio/common';
import { noSpaceAt } from '../domain/errors.ts';
import type { HeartbeatDetails, NodeProgress } from '../domain/operations.ts';
import { progressText } from '../domain/progressText.ts';
import type { StopFlag } from '../node/threads.ts';
import { withFields } from '../telemetry.ts';
import { Attempts } from './attempts.ts';
import { toFailure } from './boundary.ts';
import type { TokenJournal } from './journal.ts';

export interface LivenessOptions {
  /** What every message of its activities is logged with. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** A plain connection for the acknowledged heartbeats. */
  readonly acks: Connection;
  readonly namespace: string;
  readonly identity: string;
  /** Between heartbeats, ms. */
  readonly everyMs: number;
  /** No answer for so long: stop, before the server gives the work to somebody else, ms. */
  readonly maxSilenceMs: number;
  readonly journal?: TokenJournal;
  /** Where this process keeps its files: for the message when there is no space left. */
  readonly directory: string;
}

const NOT_FOUND = 5;

/**
 * Runs an activity's body so that it learns in time that it must stop. The SDK's own heartbeat never says whether it
 * arrived: a node cut off from Temporal would work on beside its successor. So heartbeats are sent a second time with an
 * acknowledgement, and silence is an end of its own, by the monotonic clock. An older attempt that still winds down in
 * this process is aborted and awaited first.
 */
export class Liveness {
  readonly #options: LivenessOptions;
  readonly #attempts = new Attempts();

  constructor(options: LivenessOptions) {
    this.#options = options;
  }

  async run<T>(progress: () => unknown, body: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const context = Context.current();
    const { info } = context;
    const own = new AbortController();
    const signal = AbortSignal.any([context.cancellationSignal, own.signal]);
    const { workflowId = '', runId = '' } = info.workflowExecution ?? {};
    const beat = new Beat(this.#options, context, own, progress);
    const forget = this.#options.journal?.started(info.base64TaskToken);
    try {
      return await this.#attempts.run({ operation: workflowId, run: runId, activity: info.activityId }, own, () =>
        withFields({ ...this.#options.fields, operation: workflowId }, async () => {
          beat.start();
          signal.throwIfAborted();
          return await body(signal);
        }),
      );
    } catch (error) {
      // Nobody waits for an answer any more: its workflow has ended, or it was given to another worker.
      if (beat.gone) throw new CompleteAsyncError();
      const reason = signal.aborted ? signal.reason : error;
      if (beat.cancelSeen && !context.cancellationSignal.aborted && (await beat.reportCancelled())) {
        // The SDK does not know of the cancellation yet and would record a failure.
        throw new CompleteAsyncError();
      }
      throw toFailure(noSpaceAt(this.#options.directory, reason) ?? reason);
    } finally {
      beat.stop();
      forget?.();
    }
  }
}

/** What a job has of the activity that runs it. */
export interface JobRun {
  signal: AbortSignal;
  /** Of the lease, where it runs under one. */
  stop?: StopFlag;
  onProgress(progress: NodeProgress): void;
}

/** Runs a job as an activity; what it is at is in the heartbeats, under the name of who does it. */
export function watched<T>(liveness: Liveness, name: string, job: (run: JobRun) => Promise<T>): Promise<T> {
  let progress: NodeProgress = { filesDone: 0, filesTotal: 0, bytesDone: 0, bytesTotal: 0, rate: 0, at: 'starting' };
  return liveness.run(
    (): HeartbeatDetails => ({ v: 1, text: progressText(name, progress), node: name, progress }),
    (signal) =>
      job({
        signal,
        onProgress(next) {
          progress = next;
        },
      }),
  );
}

class Beat {
  readonly #options: LivenessOptions;
  readonly #context: Context;
  readonly #own: AbortController;
  readonly #progress: () => unknown;
  #lastAck = performance.now();
  #timer: NodeJS.Timeout | undefined;
  #ended = false;
  cancelSeen = false;
  /** The server knows the activity no more. */
  gone = false;

  constructor(options: LivenessOptions, context: Context, own: AbortController, progress: () => unknown) {
    this.#options = options;
    this.#context = context;
    this.#own = own;
    this.#progress = progress;
  }

  start(): void {
    this.#next(0);
  }

  stop(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
  }

  async reportCancelled(): Promise<boolean> {
    try {
      await this.#context.client.activity.reportCancellation(this.#context.info.taskToken);
      return true;
    } catch {
      return false;
    }
  }

  #next(after: number): void {
    if (this.#ended) return;
    this.#timer = setTimeout(() => void this.#tick(), after);
  }

  async #tick(): Promise<void> {
    const details = this.#progress();
    // The SDK's own timer needs its heartbeat, too.
    this.#context.heartbeat(details);
    await this.#acknowledged(details);
    const silence = performance.now() - this.#lastAck;
    if (silence > this.#options.maxSilenceMs) {
      const seconds = Math.round(silence / 1000);
      this.#own.abort(ApplicationFailure.retryable(`Temporal did not answer for ${seconds} s`, 'WorkerRestarted'));
      return;
    }
    this.#next(this.#options.everyMs);
  }

  async #acknowledged(details: unknown): Promise<void> {
    const { acks, namespace, identity, everyMs } = this.#options;
    try {
      const answer = await acks.withDeadline(Date.now() + Math.max(everyMs, 1_000), () =>
        acks.workflowService.recordActivityTaskHeartbeat({
          namespace,
          identity,
          taskToken: this.#context.info.taskToken,
          details: { payloads: [defaultPayloadConverter.toPayload(details)] },
        }),
      );
      this.#lastAck = performance.now();
      if (answer.cancelRequested) {
        this.cancelSeen = true;
        this.#own.abort(new CancelledFailure('CANCELLED'));
      } else if (answer.activityReset || answer.activityPaused) {
        this.#own.abort(ApplicationFailure.retryable('the activity was reset or paused', 'WorkerRestarted'));
      }
    } catch (error) {
      if ((error as { code?: unknown }).code !== NOT_FOUND) return;
      this.gone = true;
      this.#own.abort(new CancelledFailure('NOT_FOUND'));
    }
  }
}
