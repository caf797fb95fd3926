/**
 * The results of `work` on every item, in the order of the items, with at most `limit` under way or waiting to be taken.
 * A failure is told when it is its turn; what is under way then ends first.
 */
export async function* inOrder<T, R>(
  limit: number,
  items: Iterable<T> | AsyncIterable<T>,
  work: (item: T) => Promise<R>,
): AsyncGenerator<R> {
  const ahead: Promise<R>[] = [];
  try {
    for await (const item of items) {
      const one = work(item);
      one.catch(() => undefined);
      ahead.push(one);
      if (ahead.length >= limit) yield await (ahead.shift() as Promise<R>);
    }
    while (ahead.length > 0) yield await (ahead.shift() as Promise<R>);
  } finally {
    await Promise.allSettled(ahead);
  }
}
