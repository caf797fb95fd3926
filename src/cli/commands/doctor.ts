import { HomarusError } from '../../domain/errors.ts';
import type { Spec } from '../command.ts';
import type { Finding } from '../doctor.ts';
import { examine } from '../doctor.ts';
import { storageOption } from '../options.ts';
import { Failure } from '../output.ts';

const SIGNS: Record<Finding['state'], string> = { well: 'ok  ', amiss: 'FAIL', unsure: 'note' };

export const doctor: Spec<{ storage?: string }> = {
  usage: 'doctor',
  summary: 'Check a deployment from end to end, and say what to mend',
  details:
    'Configuration, Temporal, its search attributes, coordinators and the worker of every node, the storage: rights, ' +
    'conditional writes, clock; and of the nodes that are this machine: roots, hard links, free space. It writes and removes a ' +
    'few small objects below "probe/" of the storage.',
  options: [storageOption()],
  example: 'homarus doctor',
  async run(context, { storage }) {
    const findings = await examine(context, storage);
    const lines = findings.flatMap(({ what, state, detail, mend }) => [
      `${SIGNS[state]}  ${what}: ${detail}`,
      ...(state !== 'well' && mend !== undefined ? [`      ${mend}`] : []),
    ]);
    const answer = { result: { findings }, text: lines.join('\n') };
    const amiss = findings.filter(({ state }) => state === 'amiss');
    if (amiss.length === 0) return answer;
    const first = amiss[0] as Finding & { code?: string };
    throw new Failure(
      new HomarusError('NotWell', `amiss: ${amiss.map(({ what }) => what).join(', ')}`, {
        hint: first.mend ?? 'What is marked as FAIL says what to mend.',
      }),
      answer,
    );
  },
};
