/** The contract of a plugin's order of things. Workflow-safe: no I/O here, only what is handed in. */

export interface BackupSteps {
  /** Every node takes a snapshot, all at once. */
  snapshot(): Promise<void>;
  /** What storage lacks is planned over the nodes and uploaded. */
  upload(): Promise<void>;
}

export interface RestoreSteps {
  /** Every matched node restores its trees. */
  restore(): Promise<void>;
}

export interface Flow {
  /** Of the plugin data that `backup` answers. */
  readonly version: number;
  /** Answers what stands in the manifest as plugin data. */
  backup(steps: BackupSteps): Promise<unknown>;
  restore(steps: RestoreSteps): Promise<void>;
}
