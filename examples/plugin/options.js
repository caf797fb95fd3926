// What an operator may say under plugin.options; `homarus config check` names faults by their path.

export const options = (z) =>
  z.strictObject({
    holdFile: z
      .string()
      .regex(/^[\w.-]+$/, 'give the name of a file')
      .default('hold'),
  });

/** Which files are backed up. */
export const selection = ({ holdFile }) => ({ include: [], exclude: [holdFile, 'ledger.pid'], onUnreadable: 'fail' });
