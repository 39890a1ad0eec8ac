/** The page of a product as tests see it: real members, the compiled executable, clients, and Chromium. */
import type { Browser, BrowserContextOptions } from "playwright-core";
import { curl } from "../e2e/curl.ts";
import { type EtcdproxyProcess, startProxy } from "../harness/etcdproxy-process.ts";
import { type Family, readExposition } from "../harness/exposition.ts";
import { freePorts } from "../harness/free-ports.ts";
import { PageVisit } from "./browser.ts";

/** A product on ports that it has again when it is started again. */
export class ShownProxy implements AsyncDisposable {
  readonly url: string;
  readonly #words: readonly string[];
  #process: EtcdproxyProcess;

  private constructor(url: string, words: readonly string[], process: EtcdproxyProcess) {
    this.url = url;
    this.#words = words;
    this.#process = process;
  }

  static async start(
    product: "gateway" | "grpc-proxy",
    endpoints: readonly string[],
    flags: readonly string[] = [],
  ): Promise<ShownProxy> {
    const [clients, pages] = freePorts(2);
    const words = [
      product,
      "start",
      `--listen-addr=127.0.0.1:${clients}`,
      `--metrics-addr=http://127.0.0.1:${pages}`,
      `--endpoints=${endpoints.join(",")}`,
      ...flags,
    ];
    return new ShownProxy(`http://127.0.0.1:${pages}`, words, await startProxy(words));
  }

  get process(): EtcdproxyProcess {
    return this.#process;
  }

  get address(): string {
    return this.#process.address;
  }

  async kill(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.exited;
  }

  /** Starts it again, after `kill`. */
  async restart(): Promise<void> {
    this.#process = await startProxy(this.#words);
  }

  async metrics(): Promise<Map<string, Family>> {
    return readExposition((await curl("HTTP/1.1", `${this.url}/proxy/metrics`)).body);
  }

  visit(browser: Browser, options: BrowserContextOptions = {}): Promise<PageVisit> {
    return PageVisit.open(browser, `${this.url}/`, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process[Symbol.asyncDispose]();
  }
}

/** What a metric has in all, whatever its labels. */
export function sumOf(families: ReadonlyMap<string, Family>, name: string): number {
  return [...(families.get(name)?.samples.values() ?? [])].reduce((sum, value) => sum + value, 0);
}
