import type { FastifyReply } from 'fastify';
import type { z } from 'zod';
import type { ErrorCode } from '../domain/errors.ts';
import { HomarusError } from '../domain/errors.ts';
import type { Role } from './tokens.ts';

/** One route: what it takes, what it answers, who may ask. Validation and the OpenAPI document come from the same schemas. */
export interface Route {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** As OpenAPI writes it: `/v1/backups/{backup}`. */
  path: string;
  /** Unique; `operationId` of the document. */
  name: string;
  tag: string;
  summary: string;
  /** What one must know beyond the summary. */
  details?: string;
  /** `anybody`: no token is asked for. */
  role: Role | 'anybody';
  params?: z.ZodObject;
  query?: z.ZodObject;
  /** All of its fields may be missing, and so may it. */
  body?: z.ZodType;
  /** It takes an `Idempotency-Key`. */
  keyed?: boolean;
  /** Of JSON, unless it is of another `type`, which has no schema. */
  answer: { status: 200 | 202; what: string } & (
    | { schema: z.ZodType; type?: never }
    | { schema?: never; type: string }
  );
  errors: readonly ErrorCode[];
  run(asked: Asked<unknown, unknown, unknown>): Promise<unknown>;
}

export interface Asked<P, Q, B> {
  params: P;
  query: Q;
  body: B;
  key: string | undefined;
  /** Who asks, for people. */
  by: string;
  headers: Record<string, string | string[] | undefined>;
  reply: FastifyReply;
}

type Parsed<S> = S extends z.ZodType ? z.output<S> : undefined;
type Typed<P, Q, B> = Omit<Route, 'params' | 'query' | 'body' | 'run'> & {
  params?: P;
  query?: Q;
  body?: B;
  run(asked: Asked<Parsed<P>, Parsed<Q>, Parsed<B>>): Promise<unknown>;
};

/** A route whose `run` is handed what its own schemas say. */
export function route<
  P extends z.ZodObject | undefined = undefined,
  Q extends z.ZodObject | undefined = undefined,
  B extends z.ZodType | undefined = undefined,
>(typed: Typed<P, Q, B>): Route {
  return typed as unknown as Route;
}

/** `BadInput` names every field that is wrong. */
export function parse<T>(schema: z.ZodType<T>, input: unknown, where: string): T {
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.map((issue) => `${[where, ...issue.path].join('.')}: ${issue.message}`);
  throw new HomarusError('BadInput', faults.join('; '));
}
