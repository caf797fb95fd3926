import { Option } from 'commander';
import { reportLine } from '../../domain/documentShapes.ts';
import type { HomarusError } from '../../domain/errors.ts';
import { hasCode } from '../../domain/errors.ts';
import type { StagedList } from '../../domain/operations.ts';
import type { ReadData, VerifyRequest } from '../../domain/requests.ts';
import { readReport } from '../../storage/report.ts';
import type { ReportLine } from '../../storage/verify.ts';
import type { Spec } from '../command.ts';
import type { Context } from '../context.ts';
import { operate } from '../operate.ts';
import { noWaitOption, readData, storageOption } from '../options.ts';
import type { Answer } from '../output.ts';
import { Failure } from '../output.ts';

interface Options {
  readData?: ReadData | true;
  storage?: string;
  wait: boolean;
}

export const verify: Spec<Options> = {
  usage: 'verify',
  summary: 'Check that the storage still holds every backup, and say what damage costs',
  details:
    'It takes no lock, and the nodes share the work. What it finds damaged counts as absent from then on: the next backup ' +
    'stores it again from a node that still has it.',
  options: [
    new Option(
      '--read-data [amount]',
      'also read packs and check every chunk in them: all, a share (10%) or a size (5GiB), other ones each time',
    ).argParser(readData),
    storageOption(),
    noWaitOption(),
  ],
  example: 'homarus verify --read-data 10%',
  async run(context, { storage, readData: amount, wait }) {
    const request: VerifyRequest = {};
    if (storage !== undefined) request.storage = storage;
    if (amount !== undefined) request.readData = amount === true ? { percent: 100 } : amount;
    try {
      return await operate(context, 'verify', request, { wait });
    } catch (error) {
      if (!(error instanceof Failure && hasCode(error.error, 'DamageFound'))) throw error;
      return damageFound(context, storage, error);
    }
  },
};

/** All that was found, line by line, and the failure at the end. */
function damageFound(context: Context, storage: string | undefined, { answer, error }: Failure): Answer {
  const { report, ...result } = answer.result as { report: StagedList };
  if (answer.text) context.output.note(answer.text);
  return {
    result,
    listing: {
      field: 'report',
      async write(emit) {
        const { repository } = await context.reading(storage);
        for await (const line of readReport<ReportLine>(repository, report, reportLine)) await emit(line, textOf(line));
        throw error as HomarusError;
      },
    },
  };
}

const NAMED = 3;

function textOf(line: ReportLine): string {
  if (line.type === 'damage') return line.reason;
  if (line.type === 'backup') {
    const { backup, state, lostFiles } = line;
    if (state === 'whole') return `backup ${backup} is whole`;
    if (state === 'lost') return `backup ${backup} is lost`;
    const lost = lostFiles > 0 ? `${lostFiles} files named below` : 'what is named below';
    return `backup ${backup} can be restored but for ${lost}`;
  }
  const { backups, node, root, path, until } = line;
  const named = backups.slice(0, NAMED).join(', ');
  const inBackups = `in ${named}${backups.length > NAMED ? ` and ${backups.length - NAMED} more` : ''}`;
  if (path === null) return `lost: all of backup ${named}`;
  const where = node === '' ? '' : `node ${node}, root ${root}: `;
  if (path === '' && until === null) return `lost: ${where}all of it, ${inBackups}`;
  if (until === undefined) return `lost: ${where}${path}, ${inBackups}`;
  return `lost: ${where}all from "${path}" ${until === null ? 'on' : `up to "${until}"`}, ${inBackups}`;
}
