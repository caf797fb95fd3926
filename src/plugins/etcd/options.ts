import { fields } from '../fields.ts';
import { type FileSelection, fileOptions } from '../fileOptions.ts';
import type { Zod } from '../module.ts';

/** How an etcd cluster is reached: for every plugin that needs one. */
export interface EtcdAccess {
  endpoints: string[];
  tls?: { caFile?: string | undefined; certFile?: string | undefined; keyFile?: string | undefined } | undefined;
  user?: string | undefined;
  passwordEnv?: string | undefined;
  passwordFile?: string | undefined;
  /** ms. */
  timeouts: { request: number; retryFor: number };
}

export interface EtcdOptions extends EtcdAccess, FileSelection {
  prefixes: (string | { base64: string })[];
  leases: 'skip' | 'keep';
  member: boolean;
}

export function etcdAccess(z: Zod) {
  const { text, path, envName, duration } = fields(z);
  return {
    endpoints: z
      .array(z.url({ protocol: /^https?$/, error: 'give the URL of a member such as https://etcd1.example.org:2379' }))
      .min(1, 'name at least one endpoint'),
    tls: z
      .strictObject({ caFile: path.optional(), certFile: path.optional(), keyFile: path.optional() })
      .refine((tls) => (tls.certFile === undefined) === (tls.keyFile === undefined), 'certFile and keyFile go together')
      .optional(),
    user: text.optional(),
    passwordEnv: envName.optional(),
    passwordFile: path.optional(),
    timeouts: z
      .strictObject({ request: duration(100).default(10_000), retryFor: duration().default(60_000) })
      .prefault({}),
  };
}

/** What no field shows by itself: for `superRefine` of an object with these fields. */
export function accessFault({ user, passwordEnv, passwordFile }: Partial<EtcdAccess>): string | undefined {
  const given = [passwordEnv, passwordFile].filter((one) => one !== undefined).length;
  if (user !== undefined && given !== 1) return 'user goes with passwordEnv or with passwordFile';
  return user === undefined && given > 0 ? 'a password goes with user' : undefined;
}

export function options(z: Zod) {
  const prefix = z.union([z.string(), z.strictObject({ base64: z.base64() })], {
    error: 'give a text, or {base64: …}',
  });
  return z
    .strictObject({
      ...etcdAccess(z),
      prefixes: z.array(prefix).min(1, 'name at least one prefix; "" is everything').default(['']),
      leases: z.enum(['skip', 'keep']).default('skip'),
      member: z.boolean().default(false),
      ...fileOptions(z),
    })
    .superRefine((given, context) => {
      const fault = accessFault(given);
      if (fault !== undefined) context.addIssue({ code: 'custom', message: fault, path: ['user'] });
    });
}

export const selection = ({ include, exclude, onUnreadable }: EtcdOptions): FileSelection => ({
  include,
  exclude,
  onUnreadable,
});

export const prefixBytes = (prefixes: EtcdOptions['prefixes']): Buffer[] =>
  prefixes.map((prefix) => (typeof prefix === 'string' ? Buffer.from(prefix) : Buffer.from(prefix.base64, 'base64')));
