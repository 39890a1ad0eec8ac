/** A log that nobody reads, or that cannot be written, holds up nothing and ends nothing. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { closeSync, constants, openSync } from "node:fs";
import { dlopen, ptr } from "bun:ffi";
import { KV } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { forgetPeak, MIB, peakBytes } from "../../faults/memory.ts";
import { runCommand, spawnWriting } from "../../harness/child-process.ts";
import { type EtcdCluster, startEtcdCluster } from "../../harness/etcd-cluster.ts";
import { ensureBuilt, executable } from "../../harness/etcdproxy-process.ts";
import { freePorts } from "../../harness/free-ports.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { LineLog } from "../../harness/line-log.ts";
import { TemporaryFolder } from "../../harness/temporary-folder.ts";
import { waitFor } from "../../harness/wait-for.ts";

setDefaultTimeout(120_000);

const KEY = new TextEncoder().encode("stderr");
/** So many calls make more lines than a pipe, a socket and the proxy together keep. */
const CALLS = 6000;
const AT_ONCE = 100;

let cluster: EtcdCluster;
beforeAll(async () => {
  await ensureBuilt();
  cluster = await startEtcdCluster({ members: 1 });
}, 120_000);
afterAll(() => cluster.dispose());

/** A grpc-proxy that logs every call to the file descriptor `stderr`. */
class LoudProxy implements AsyncDisposable {
  readonly address: string;
  readonly #child: Bun.Subprocess;

  constructor(stderr: number, more: readonly string[] = []) {
    this.address = `127.0.0.1:${freePorts(1)[0]}`;
    const flags = [`--listen-addr=${this.address}`, `--endpoints=${cluster.endpoints[0]}`, ...more];
    this.#child = spawnWriting(
      [executable, "grpc-proxy", "start", ...flags, "--experimental-enable-grpc-logging"],
      stderr,
    );
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Makes many calls, all of which are answered. */
  async serves(calls: number): Promise<void> {
    using client = new GrpcClient(this.address);
    const read = () => client.unary(KV.method.range, { key: KEY, serializable: true }, { timeoutMs: 20_000 });
    await waitFor("the proxy to serve", async () => {
      try {
        return await read();
      } catch {
        return undefined;
      }
    });
    for (let made = 0; made < calls; made += AT_ONCE)
      await Promise.all(Array.from({ length: AT_ONCE }, read));
  }

  async stop(): Promise<number> {
    this.#child.kill("SIGTERM");
    return this.#child.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }
}

interface Ends extends Disposable {
  readonly read: number;
  readonly write: number;
}

function ends(read: number, write: number, more?: Disposable): Ends {
  return {
    read,
    write,
    [Symbol.dispose]() {
      closeSync(read);
      closeSync(write);
      more?.[Symbol.dispose]();
    },
  };
}

/** As a shell gives its children. */
async function pipe(): Promise<Ends> {
  const folder = new TemporaryFolder("pipe");
  const path = folder.file("pipe");
  await runCommand(["mkfifo", path]);
  const read = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  return ends(read, openSync(path, constants.O_WRONLY), folder);
}

/** As systemd gives its services. */
async function socket(): Promise<Ends> {
  const library = dlopen("libc.so.6", { socketpair: { args: ["i32", "i32", "i32", "ptr"], returns: "i32" } });
  const pair = new Int32Array(2);
  const [AF_UNIX, SOCK_STREAM] = [1, 1];
  expect(library.symbols.socketpair(AF_UNIX, SOCK_STREAM, 0, ptr(pair))).toBe(0);
  return ends(pair[0]!, pair[1]!);
}

describe.each([
  ["a pipe", pipe],
  ["a socket", socket],
])("%s that nobody reads", (_, open) => {
  test.each([[[]], [["--workers=2"]]])("holds up no call and fills no memory, with %p", async (flags) => {
    using stderr = await open();
    await using proxy = new LoudProxy(stderr.write, flags);
    await proxy.serves(1);
    const beforeBytes = forgetPeak(proxy.pid);
    await proxy.serves(CALLS);
    expect(peakBytes(proxy.pid) - beforeBytes).toBeLessThan(128 * MIB);
    expect(await proxy.stop()).toBe(0);
  });

  test("gets whole lines once it reads, and is told how many it has missed", async () => {
    using stderr = await open();
    await using proxy = new LoudProxy(stderr.write);
    await proxy.serves(CALLS);
    const reader = Bun.spawn(["cat"], { stdin: stderr.read, stdout: "pipe" });
    try {
      const lines = new LineLog("the reader of the log", reader.stdout);
      const told = await lines.find("how many lines were left out", (line) => {
        const entry = JSON.parse(line) as Record<string, unknown>;
        return entry["msg"] === "log lines were left out: stderr took them too slowly" ? entry : undefined;
      });
      expect(told["level"]).toBe("warn");
      expect(Number(told["lines"])).toBeGreaterThan(0);
      expect(await proxy.stop()).toBe(0);
      await lines.find("the last line", (line) => (line.includes('"msg":"stopped"') ? line : undefined));
      expect(lines.lines.map((line) => typeof JSON.parse(line)).every((type) => type === "object")).toBe(
        true,
      );
    } finally {
      reader.kill();
      await reader.exited;
    }
  });
});

test("a disk that is full holds up no call and ends nothing", async () => {
  const full = openSync("/dev/full", "w");
  try {
    await using proxy = new LoudProxy(full);
    await proxy.serves(CALLS);
    expect(await proxy.stop()).toBe(0);
  } finally {
    closeSync(full);
  }
});

test("a reader that goes away ends nothing", async () => {
  using folder = new TemporaryFolder("pipe");
  const path = folder.file("pipe");
  await runCommand(["mkfifo", path]);
  const read = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const write = openSync(path, constants.O_WRONLY);
  await using proxy = new LoudProxy(write);
  closeSync(write);
  await proxy.serves(1);
  closeSync(read);
  await proxy.serves(1000);
  expect(await proxy.stop()).toBe(0);
});

test("a standard error that is closed ends nothing", async () => {
  const address = `127.0.0.1:${freePorts(1)[0]}`;
  const flags = `--listen-addr=${address} --endpoints=${cluster.endpoints[0]} --experimental-enable-grpc-logging`;
  const silent = openSync("/dev/null", "w");
  const child = spawnWriting(["sh", "-c", `exec ${executable} grpc-proxy start ${flags} 2>&-`], silent);
  closeSync(silent);
  using client = new GrpcClient(address);
  await waitFor("an answer", async () => {
    try {
      return await client.unary(KV.method.range, { key: KEY });
    } catch {
      return undefined;
    }
  });
  child.kill("SIGTERM");
  expect(await child.exited).toBe(0);
});
