import { defineSearchAttributeKey } from '@temporalio/common';

/** By what operations are found in Temporal; nothing secret, they are never encrypted. docs/temporal-ui.md shows how. */
export const searchAttributes = {
  cluster: defineSearchAttributeKey('HomarusCluster', 'KEYWORD'),
  operation: defineSearchAttributeKey('HomarusOperation', 'KEYWORD'),
  /** Name of the backup that was made, restored or drilled. */
  backup: defineSearchAttributeKey('HomarusBackup', 'KEYWORD'),
  /** See `OperationEnd`. */
  result: defineSearchAttributeKey('HomarusResult', 'KEYWORD'),
} as const;
