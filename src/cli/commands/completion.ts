import { HomarusError } from '../../domain/errors.ts';
import type { AnySpec, Group, Spec } from '../command.ts';

/** Scripts that let a shell complete commands and options: made of the table of commands, so never behind it. */

const SHELLS = ['bash', 'zsh', 'fish'] as const;

/** `groups`: asked for late, since this command is one of them. */
export const completion = (groups: () => readonly Group[]): Spec<object, [string]> => ({
  usage: 'completion <shell>',
  summary: 'Print what lets bash, zsh or fish complete commands and options',
  details: 'bash and zsh: source <(homarus completion bash). fish: homarus completion fish | source.',
  example: 'homarus completion bash > /etc/bash_completion.d/homarus',
  async run(_, __, shell) {
    const known = SHELLS.find((one) => one === shell);
    if (known === undefined) throw new HomarusError('BadInput', `shell: "${shell}" is none of ${SHELLS.join(', ')}`);
    const words = wordsOf(groups());
    const text = known === 'fish' ? fish(words) : known === 'zsh' ? zsh(words) : bash(words);
    return { result: { shell: known, script: text }, text };
  },
});

interface Words {
  /** `schedules list` or `backup`. */
  command: string;
  summary: string;
  /** Its options, or the commands below it. */
  next: string[];
}

function wordsOf(groups: readonly Group[]): Words[] {
  const optionsOf = ({ options = [] }: AnySpec): string[] =>
    [...options.flatMap(({ short, long }) => [short, long]), '--help'].filter((word) => word !== undefined);
  const nameOf = ({ usage }: AnySpec): string => usage.split(' ')[0] as string;
  return groups.flatMap(({ commands }) =>
    commands.flatMap((entry): Words[] => {
      if ('usage' in entry) return [{ command: nameOf(entry), summary: entry.summary, next: optionsOf(entry) }];
      const below = entry.commands.map((spec) => ({
        command: `${entry.name} ${nameOf(spec)}`,
        summary: spec.summary,
        next: optionsOf(spec),
      }));
      const parent = { command: entry.name, summary: entry.summary, next: entry.commands.map(nameOf) };
      return [parent, ...below];
    }),
  );
}

const GLOBAL = ['--config', '--json'];

const bash = (words: readonly Words[]): string => {
  const top = words.filter(({ command }) => !command.includes(' ')).map(({ command }) => command);
  const cases = words.map(({ command, next }) => `    "${command}") words="${[...next, ...GLOBAL].join(' ')}" ;;`);
  return `_homarus() {
  local at="" word words
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in -*) continue ;; esac
    case " ${words.map(({ command }) => command.replace(' ', '/')).join(' ')} " in
      *" \${at:+$at/}$word "*) at="\${at:+$at/}$word" ;;
    esac
  done
  case "\${at/\\// }" in
    "") words="${[...top, ...GLOBAL, '--help'].join(' ')}" ;;
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
  [ \${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -F _homarus homarus`;
};

const zsh = (words: readonly Words[]): string => `autoload -U +X bashcompinit && bashcompinit\n${bash(words)}`;

function fish(words: readonly Words[]): string {
  const quoted = (text: string): string => `'${text.replaceAll(/['\\]/g, '\\$&')}'`;
  const lines = ['complete -c homarus -f'];
  for (const { command, summary, next } of words) {
    const [first = '', second] = command.split(' ');
    const parents = words.some((other) => other.command.startsWith(`${command} `));
    const when = second === undefined ? '__fish_use_subcommand' : `__fish_seen_subcommand_from ${first}`;
    lines.push(`complete -c homarus -n ${quoted(when)} -a ${second ?? first} -d ${quoted(summary)}`);
    if (parents) continue;
    const seen = `__fish_seen_subcommand_from ${second ?? first}`;
    for (const option of next.filter((word) => word.startsWith('--')))
      lines.push(`complete -c homarus -n ${quoted(seen)} -l ${option.slice(2)}`);
  }
  return lines.join('\n');
}
