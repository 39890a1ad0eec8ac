/** A grpc-proxy of several workers, and clients of which it is known which worker serves them. */
import { type EtcdproxyProcess, startGrpcProxy } from "../harness/etcdproxy-process.ts";
import { type Family, readExposition, valueOf } from "../harness/exposition.ts";
import { curl } from "../e2e/curl.ts";
import { ReadClient } from "../e2e/reads/read-client.ts";

/** Connections that are tried for one to each worker: chance gives them out. */
const CONNECTIONS_MAX = 200;

/** The metrics page behind an URL `http://host:port`. */
export async function metricsAt(url: string): Promise<Map<string, Family>> {
  return readExposition((await curl("HTTP/1.1", `${url}/proxy/metrics`)).body);
}

/** How many clients each worker serves, as the page says. */
export function clientsOf(families: ReadonlyMap<string, Family>, workers: number): number[] {
  return Array.from({ length: workers }, (_, worker) =>
    valueOf(families, `etcdproxy_worker_client_connections{worker="${worker}"}`),
  );
}

/** Clients of a proxy that runs. */
export class WorkerClients implements Disposable {
  readonly address: string;
  /** Of the further listener. */
  readonly metricsUrl: string;
  readonly workers: number;
  readonly #clients: ReadClient[] = [];

  constructor(address: string, metricsUrl: string, workers: number) {
    this.address = address;
    this.metricsUrl = metricsUrl;
    this.workers = workers;
  }

  metrics(): Promise<Map<string, Family>> {
    return metricsAt(this.metricsUrl);
  }

  /** A client of each worker, by its number. Nobody else may connect or go meanwhile. @param metadata sent with each call */
  async clientOfEach(metadata: Readonly<Record<string, string>> = {}): Promise<ReadClient[]> {
    const found = new Map<number, ReadClient>();
    let before = clientsOf(await this.metrics(), this.workers);
    for (let tried = 0; found.size < this.workers; tried++) {
      if (tried === CONNECTIONS_MAX) throw new Error(`no client of each worker: ${JSON.stringify(before)}`);
      const client = new ReadClient(this.address, metadata);
      this.#clients.push(client);
      // Whatever the answer is, the client is connected by then.
      await client.get("connected").catch(() => {});
      const now = clientsOf(await this.metrics(), this.workers);
      const worker = now.findIndex((clients, index) => clients > before[index]!);
      before = now;
      if (!found.has(worker)) found.set(worker, client);
    }
    return Array.from({ length: this.workers }, (_, worker) => found.get(worker)!);
  }

  [Symbol.dispose](): void {
    for (const client of this.#clients) client[Symbol.dispose]();
  }
}

/** The compiled executable with its clients. */
export class WorkerScene extends WorkerClients implements AsyncDisposable {
  readonly proxy: EtcdproxyProcess;

  private constructor(proxy: EtcdproxyProcess, metricsUrl: string, workers: number) {
    super(proxy.address, metricsUrl, workers);
    this.proxy = proxy;
  }

  static async start(
    endpoints: readonly string[],
    workers: number,
    flags: readonly string[] = [],
  ): Promise<WorkerScene> {
    const proxy = await startGrpcProxy(endpoints, [
      `--workers=${workers}`,
      "--metrics-addr=http://127.0.0.1:0",
      ...flags,
    ]);
    const { address } = await proxy.logged("listening for metrics");
    return new WorkerScene(proxy, String(address), workers);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this[Symbol.dispose]();
    await this.proxy[Symbol.asyncDispose]();
  }
}
