/** A node as its jobs see it: the configuration's part, with every path absolute. */
export interface NodeSettings {
  id: string;
  az: string;
  roots: DataRoot[];
  /** What the node remembers between operations and while one runs. */
  stateDir: string;
}

export interface DataRoot {
  name: string;
  path: string;
  /** On the root's file system; usually `<path>/.homarus`. */
  linkDir: string;
}

/** Which attempt the local files are for. */
export interface OperationRef {
  operation: string;
  epoch: number;
}
