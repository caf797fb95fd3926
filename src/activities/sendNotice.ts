import { HomarusError } from '../domain/errors.ts';
import type { Notice, NoticeTarget } from '../domain/notices.ts';
import { runProgram } from '../plugins/commands/program.ts';

/** How somebody is told: one of them. */
export interface NoticeWay extends NoticeTarget {
  /** Where the notice goes as JSON; `urlEnv` names a variable that holds it, where it is a secret. */
  webhook?: { url?: string | undefined; urlEnv?: string | undefined; tokenEnv?: string | undefined } | undefined;
  /** Program and arguments; the notice is in its environment. */
  command?: string[] | undefined;
  /** ms */
  timeout: number;
}

/** What a program may know; our own environment holds secrets. */
const PASSED = ['PATH', 'HOME', 'LANG', 'TZ'];

/** Tells one of those whom the configuration names; rejects when it did not hear. */
export async function sendNotice(way: NoticeWay, notice: Notice, signal: AbortSignal): Promise<void> {
  if (way.command !== undefined) await runFor(way, way.command, notice, signal);
  else await post(way, notice, signal);
}

async function post({ name, webhook, timeout }: NoticeWay, notice: Notice, signal: AbortSignal): Promise<void> {
  const url = webhook?.url ?? secret(name, webhook?.urlEnv);
  const token = webhook?.tokenEnv === undefined ? undefined : secret(name, webhook.tokenEnv);
  let answer: Response;
  try {
    answer = await fetch(url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'user-agent': 'homarus',
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      body: JSON.stringify(notice),
      redirect: 'error',
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeout)]),
    });
  } catch (error) {
    signal.throwIfAborted();
    // The URL may be a secret: only the reason is told.
    const { message, cause } = error as Error;
    throw notTold(name, `its webhook does not answer: ${cause instanceof Error ? cause.message : message}`);
  }
  await answer.body?.cancel();
  if (!answer.ok) throw notTold(name, `its webhook answered ${answer.status}`);
}

async function runFor(way: NoticeWay, command: string[], notice: Notice, signal: AbortSignal): Promise<void> {
  const [program = '', ...args] = command;
  const passed = PASSED.flatMap((key) => (process.env[key] === undefined ? [] : [[key, process.env[key]] as const]));
  const { event, cluster, message, operation } = notice;
  const { how, end } = await runProgram(program, args, {
    env: {
      ...Object.fromEntries(passed),
      ...{ HOMARUS_EVENT: event, HOMARUS_CLUSTER: cluster, HOMARUS_MESSAGE: message },
      HOMARUS_OPERATION: operation?.id ?? '',
      HOMARUS_NOTICE: JSON.stringify(notice),
    },
    timeout: way.timeout,
    signal,
    onLine: () => undefined,
  });
  if (how !== undefined) throw notTold(way.name, `${program} ${how}${end && `: ${end}`}`);
}

function secret(name: string, variable = ''): string {
  const value = process.env[variable];
  if (value) return value;
  throw notTold(name, `${variable} is not set in the environment of this coordinator`);
}

const notTold = (name: string, reason: string): HomarusError =>
  new HomarusError('NotTold', `notifications.${name}: ${reason}`);
