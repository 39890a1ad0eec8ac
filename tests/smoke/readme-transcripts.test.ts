/**
 * The transcripts of the README, run again: each command prints what the README says that it prints.
 *
 * Only ports and what etcd chooses anew each time (times, ids) may differ: a proxy gets a port from the kernel in
 * place of its default, and the member listens where it can.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { runCommand } from "../harness/child-process.ts";
import { startEtcdCluster, type EtcdCluster } from "../harness/etcd-cluster.ts";
import { etcdctl, EtcdctlStream } from "../harness/etcdctl.ts";
import { startProxy, type EtcdproxyProcess } from "../harness/etcdproxy-process.ts";
import { ReadmeFile, type TranscriptStep } from "../readme-file.ts";

const MEMBER_ADDRESS = "127.0.0.1:2379";
const PROXY_ADDRESS = "127.0.0.1:23790";

const transcripts = (await ReadmeFile.read("README.md")).transcripts();

let cluster: EtcdCluster;
let proxy: EtcdproxyProcess | undefined;
beforeAll(async () => {
  cluster = await startEtcdCluster({ members: 1 });
});
afterAll(async () => {
  await proxy?.stop();
  await cluster.dispose();
});

/** What differs from run to run, put the same. */
function comparable(line: string): string {
  return line
    .replaceAll(proxy?.address ?? PROXY_ADDRESS, PROXY_ADDRESS)
    .replaceAll(cluster.member(0).endpoint, MEMBER_ADDRESS)
    .replace(/"ts":"[^"]*"/, '"ts":"…"')
    .replaceAll(/"(clusterId|memberId|raftTerm)":"\d+"/g, '"$1":"…"');
}

/** Runs a step and gives as many lines of its output as the README shows, all of them where it ends by itself. */
async function run({ command, printed }: TranscriptStep): Promise<string[]> {
  const words = command.split(" ");
  if (words[0]?.endsWith("etcdproxy")) {
    await proxy?.stop();
    const flags = words.slice(1, -1).map((word) => word.replace(MEMBER_ADDRESS, cluster.member(0).endpoint));
    proxy = await startProxy([...flags, "--listen-addr=127.0.0.1:0"]);
    const lines: string[] = [];
    while (lines.length < printed.length) lines.push(await proxy.stderr.next());
    return lines;
  }
  const address = proxy?.address ?? "no proxy runs";
  if (words[0] === "etcdctl") {
    const rest = words.slice(2);
    if (rest[0] !== "watch") return (await etcdctl([address], rest)).stdout.trimEnd().split("\n");
    await using watch = new EtcdctlStream([address], rest);
    return await watch.nextLines(printed.length);
  }
  const { stdout } = await runCommand(["sh", "-c", command.replaceAll(PROXY_ADDRESS, address)]);
  return stdout.trimEnd().split("\n");
}

describe("the README's transcripts", () => {
  const steps = transcripts.flat();

  test("show both products and a call in JSON", () => {
    expect(steps.map(({ command }) => command.split(" ", 2).join(" "))).toEqual(
      expect.arrayContaining(["dist/etcdproxy gateway", "dist/etcdproxy grpc-proxy", "curl -s"]),
    );
  });

  test.each(steps.map((step) => [step.command, step] as const))("$ %s", async (_, step) => {
    expect(step.command).toMatch(
      /^(dist\/etcdproxy .* &|etcdctl --endpoints=127\.0\.0\.1:23790 .*|curl .*)$/,
    );
    expect((await run(step)).map(comparable)).toEqual(step.printed.map(comparable));
  });
});
