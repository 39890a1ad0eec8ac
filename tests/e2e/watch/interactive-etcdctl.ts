/**
 * `etcdctl watch -i`: an etcdctl that is told what to watch on its standard input, as an operator types it.
 *
 * It ends when its standard input does, so it cannot outlive the tests.
 */
import { etcdBinary } from "../../harness/etcd-version.ts";
import { LineLog } from "../../harness/line-log.ts";

type Child = Bun.Subprocess<"pipe", "pipe", "pipe">;

export class InteractiveEtcdctl implements AsyncDisposable {
  readonly stdout: LineLog;
  readonly stderr: LineLog;
  readonly #process: Child;

  /** @param endpoints `host:port` of members, a gateway or a grpc-proxy. */
  constructor(endpoints: readonly string[]) {
    const command = [etcdBinary("etcdctl"), `--endpoints=${endpoints.join(",")}`, "watch", "-i"];
    const env = { PATH: process.env["PATH"] };
    this.#process = Bun.spawn(command, { stdin: "pipe", stdout: "pipe", stderr: "pipe", env });
    this.stdout = new LineLog("etcdctl watch -i", this.#process.stdout);
    this.stderr = new LineLog("etcdctl watch -i (stderr)", this.#process.stderr);
  }

  /** Types a line. */
  async say(line: string): Promise<void> {
    await this.#process.stdin.write(`${line}\n`);
    await this.#process.stdin.flush();
  }

  /** The next `count` lines that it prints. */
  async nextLines(count: number): Promise<string[]> {
    const lines: string[] = [];
    while (lines.length < count) lines.push(await this.stdout.next());
    return lines;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.exited;
  }
}
