import { Agent, createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A server in front of another one that lets every request wait, and counts them. */
export interface SlowServer {
  readonly endpoint: string;
  /** Requests since the last call, by verb. */
  counted(): Record<string, number>;
  close(): Promise<void>;
}

export async function slowServer(target: string, delay: number): Promise<SlowServer> {
  const { hostname, port } = new URL(target);
  const agent = new Agent({ keepAlive: true });
  let counts: Record<string, number> = {};
  const server = createServer((asked, answer) => {
    const verb = asked.method === 'GET' && asked.url?.includes('list-type=2') ? 'LIST' : (asked.method ?? '');
    counts[verb] = (counts[verb] ?? 0) + 1;
    setTimeout(() => {
      const passed = request(
        { agent, hostname, port, method: asked.method, path: asked.url, headers: asked.rawHeaders },
        (answered) => {
          answer.writeHead(answered.statusCode ?? 502, answered.rawHeaders);
          answered.pipe(answer);
        },
      );
      passed.once('error', () => answer.destroy());
      asked.pipe(passed);
    }, delay);
  });
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    counted() {
      const counted = counts;
      counts = {};
      return counted;
    },
    async close() {
      agent.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
