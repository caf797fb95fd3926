import { z } from 'zod';
import { version } from '../version.ts';
import { byStatus, mayMeet, PROBLEM_JSON, problemSchema } from './problems.ts';
import type { Route } from './route.ts';

/** The OpenAPI 3.1 document of the routes, from the schemas that validate what they take. */

type Json = Record<string, unknown>;

export const IDEMPOTENCY_KEY = z.string().regex(/^[A-Za-z0-9._-]{1,64}$/, 'use 1 to 64 of A-Z a-z 0-9 . _ -');

export function openApi(routes: readonly Route[]): Json {
  const components: Json = {};
  const schemaOf = (schema: z.ZodType, io: 'input' | 'output'): Json => {
    const { $schema: _, $defs = {}, ...json } = z.toJSONSchema(schema, { io }) as Json & { $defs?: Json };
    for (const [name, def] of Object.entries($defs)) components[name] = pointed(def);
    return pointed(json) as Json;
  };
  const paths: Record<string, Json> = {};
  for (const route of routes) {
    paths[route.path] = { ...paths[route.path], [route.method.toLowerCase()]: operationOf(route, schemaOf) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Homarus',
      version,
      description: 'Clustered backup on Temporal. Errors are problem+json; their codes are in docs/operations.md.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    paths,
    components: {
      schemas: Object.fromEntries(Object.entries(components).toSorted(([a], [b]) => (a < b ? -1 : 1))),
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
    },
  };
}

function operationOf(route: Route, schemaOf: (schema: z.ZodType, io: 'input' | 'output') => Json): Json {
  const { answer, errors, body, role } = route;
  const responses: Json = {
    [answer.status]: {
      description: answer.what,
      ...(answer.status === 202 ? { headers: { location: { schema: { type: 'string' } } } } : {}),
      content: answer.schema
        ? { 'application/json': { schema: schemaOf(answer.schema, 'output') } }
        : { [answer.type]: {} },
    },
  };
  if (route.name === 'listBackups') responses[304] = { description: 'Nothing has changed' };
  const codes = [
    ...errors,
    ...(role === 'anybody' ? [] : mayMeet.token),
    ...(body === undefined ? [] : mayMeet.body),
    ...(route.keyed ? (['KeyReused'] as const) : []),
  ];
  for (const [status, which] of byStatus(codes)) {
    responses[status] = {
      description: which.join(', '),
      content: {
        [PROBLEM_JSON]: {
          schema: schemaOf(
            z.lazy(() => problemSchema),
            'output',
          ),
        },
      },
    };
  }
  const parameters = [
    ...parametersIn('path', route.params, schemaOf),
    ...parametersIn('query', route.query, schemaOf),
    ...(route.keyed
      ? [
          {
            ...{ name: 'Idempotency-Key', in: 'header', required: false },
            description: 'Repeated with the same request it starts one operation',
            schema: schemaOf(IDEMPOTENCY_KEY, 'input'),
          },
        ]
      : []),
  ];
  return {
    operationId: route.name,
    tags: [route.tag],
    summary: route.summary,
    ...(route.details === undefined ? {} : { description: route.details }),
    ...(role === 'anybody' ? { security: [] } : { security: [{ token: [] }], 'x-role': role }),
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            required: !body.safeParse(undefined).success,
            content: { 'application/json': { schema: schemaOf(body, 'input') } },
          },
        }),
    responses,
  };
}

function parametersIn(
  place: 'path' | 'query',
  schema: z.ZodObject | undefined,
  schemaOf: (schema: z.ZodType, io: 'input' | 'output') => Json,
): Json[] {
  return Object.entries(schema?.shape ?? {}).map(([name, field]) => {
    const json = schemaOf(field as z.ZodType, 'input');
    const { description, ...rest } = json as { description?: string };
    return {
      ...{ name, in: place, required: place === 'path' },
      ...(description === undefined ? {} : { description }),
      schema: rest,
    };
  });
}

/** Definitions stand among the components of the document. */
function pointed(json: unknown): unknown {
  if (Array.isArray(json)) return json.map(pointed);
  if (typeof json !== 'object' || json === null) return json;
  return Object.fromEntries(
    Object.entries(json).map(([key, value]) => [
      key,
      key === '$ref' && typeof value === 'string' ? value.replace('#/$defs/', '#/components/schemas/') : pointed(value),
    ]),
  );
}
