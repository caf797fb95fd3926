import { expect, test } from '@jest/globals';
import { Events } from '../../src/api/events.ts';
import { createApi } from '../../src/api/server.ts';
import { HomarusError } from '../../src/domain/errors.ts';
import { GivenApi, operationOf } from './given.ts';

test('who follows an operation sees each change once, that Temporal was away, and the end', async () => {
  const given = await GivenApi.create();
  const { temporal } = given.deps();
  const answers = [
    operationOf('x'),
    operationOf('x'),
    new HomarusError('TemporalUnreachable', 'away'),
    operationOf('x', { by: 'other' }),
    operationOf('x', { state: 'succeeded' }),
  ];
  const status = async () => {
    const next = answers.shift();
    if (next instanceof Error) throw next;
    return next as ReturnType<typeof operationOf>;
  };
  const events = new Events({ ...temporal, status }, { poll: 0 });
  const seen: string[] = [];
  for await (const event of await events.follow('x')) seen.push(event);
  expect(seen.map((event) => event.split('\n')[0])).toEqual([
    ...['event: status', 'event: problem', 'event: status', 'event: end'],
  ]);
  expect(seen.every((event) => event.endsWith('\n\n'))).toBe(true);
});

test('what is not known is a 404, not a stream; too many streams are refused; closing ends them', async () => {
  const given = await GivenApi.create();
  given.operations.set('x', operationOf('x'));
  const events = new Events(given.deps().temporal, { poll: 0, most: 1 });
  await expect(events.follow('y')).rejects.toMatchObject({ code: 'OperationNotFound' });
  const stream = await events.follow('x');
  await expect(events.follow('x')).rejects.toMatchObject({ code: 'TooManyStreams' });
  const first = await stream.next();
  expect(first.value).toMatch(/^event: status/);
  events.close();
  expect((await stream.next()).done).toBe(true);
  for await (const event of await events.follow('x')) expect(event).toMatch(/^event: status/);
});

test('the facade sends them as text/event-stream', async () => {
  const given = await GivenApi.create();
  given.operations.set('x', operationOf('x', { state: 'cancelled' }));
  const app = createApi(given.deps());
  const answer = await app.inject('/v1/operations/x/events');
  expect(answer.headers['content-type']).toBe('text/event-stream');
  expect(answer.body).toMatch(/^event: end\ndata: \{.*"state":"cancelled".*\}\n\n$/);
  await app.close();
});
