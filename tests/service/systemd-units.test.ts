/** The units of deploy/systemd: systemd's own tools read them, and the executable lives under what they forbid. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { parseCommandLine, type ProductInvocation } from "../../src/cli/command-line.ts";
import { settle } from "../../src/cli/settings.ts";
import { runCommand } from "../harness/child-process.ts";
import { type EtcdCluster, startEtcdCluster } from "../harness/etcd-cluster.ts";
import { etcdctl } from "../harness/etcdctl.ts";
import { ensureBuilt, executable } from "../harness/etcdproxy-process.ts";
import { freePorts } from "../harness/free-ports.ts";
import { NotifyReceiver } from "../harness/notify-receiver.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";
import { type Restrictions, RestrictedEtcdproxy, restrictionImpossible } from "./restricted-etcdproxy.ts";

setDefaultTimeout(120_000);

const units = join(import.meta.dir, "..", "..", "deploy", "systemd");
const products = ["gateway", "grpc-proxy"] as const;
/** In tenths, as systemd-analyze takes it; it says 1.1. */
const EXPOSURE_MAX = "13";
/** What systemd before 253 says of the line that it passes over. */
const PASSED_OVER = "Failed to parse service type, ignoring: notify-reload";

await ensureBuilt();
const impossible = await restrictionImpossible();

function read(file: string): string {
  return readFileSync(join(units, file), "utf8");
}

/** The values of `key`, in their order. */
function valuesOf(text: string, key: string): string[] {
  return [...text.matchAll(new RegExp(`^${key}=(.*)$`, "gm"))].map(([, value = ""]) => value);
}

/** The variables of the unit's own example. */
function exampleVariables(product: string): Record<string, string> {
  const lines = read(`${product}.env`).matchAll(/^([^#=\n]+)=(.*)$/gm);
  return Object.fromEntries([...lines].map(([, name = "", value = ""]) => [name, value]));
}

test("a grpc-proxy has a folder for the socket of /proxy/health", () => {
  const unit = read("etcdproxy-grpc-proxy.service");
  expect(valuesOf(unit, "RuntimeDirectory")).toEqual(["etcdproxy-grpc-proxy"]);
  expect(valuesOf(unit, "RuntimeDirectoryMode")).toEqual(["0700"]);
});

function restrictionsOf(text: string): Restrictions {
  const [calls = "", refused = ""] = valuesOf(text, "SystemCallFilter");
  const [families = ""] = valuesOf(text, "RestrictAddressFamilies");
  return {
    calls: calls.split(" "),
    refused: refused.slice(1).split(" "),
    families: families.split(" "),
  };
}

describe.each(products)("etcdproxy-%s.service", (product) => {
  let folder: TemporaryFolder;
  let unit: string;
  beforeAll(() => {
    folder = new TemporaryFolder("units");
    unit = folder.file(`etcdproxy-${product}.service`);
    writeFileSync(unit, read(`etcdproxy-${product}.service`).replace("/usr/local/bin/etcdproxy", executable));
  });
  afterAll(() => folder[Symbol.dispose]());

  test("is read by systemd without a complaint", async () => {
    const { code, stderr } = await runCommand(["systemd-analyze", "verify", "--man=no", unit]);
    expect(stderr.split("\n").filter((line) => line !== "" && !line.endsWith(PASSED_OVER))).toEqual([]);
    expect(code).toBe(0);
  });

  test("so it is with the drop-in for an older systemd, and it can be reloaded", async () => {
    const older = read("systemd-before-253.conf")
      .replace(/^#.*\n/gm, "")
      .replace("[Service]\n", "");
    const whole = folder.file("etcdproxy-older.service");
    writeFileSync(whole, readFileSync(unit, "utf8").replace("Type=notify-reload\n", older));
    const { code, stderr } = await runCommand(["systemd-analyze", "verify", "--man=no", whole]);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    expect(valuesOf(readFileSync(whole, "utf8"), "ExecReload")).toEqual(["kill -HUP $MAINPID"]);
  });

  test("exposes little, as systemd counts it", async () => {
    const bound = ["--offline=true", "--no-pager", `--threshold=${EXPOSURE_MAX}`];
    const { code, stdout } = await runCommand(["systemd-analyze", "security", ...bound, unit]);
    expect({ code, last: stdout.trimEnd().split("\n").at(-1) }).toMatchObject({ code: 0 });
  });

  test("starts what the command line knows, with what the example says", async () => {
    const [program, ...words] = valuesOf(read(`etcdproxy-${product}.service`), "ExecStart")[0]!.split(" ");
    expect(program).toBe("/usr/local/bin/etcdproxy");
    const variables = exampleVariables(product);
    expect(Object.keys(variables).length).toBeGreaterThan(1);
    const { serve } = await settle(parseCommandLine(words) as ProductInvocation, variables);
    expect(serve).toMatchObject({
      product,
      flags: { listenAddr: "127.0.0.1:23790", endpoints: ["127.0.0.1:2379"] },
    });
  });

  test("has an example that can be checked as it says", async () => {
    const path = join(units, `${product}.env`);
    const [, command = ""] = /^#     (\(set -a; .*)$/m.exec(read(`${product}.env`)) ?? [];
    const check = command
      .replace(`/etc/etcdproxy/${product}.env`, path)
      .replace("; etcdproxy", `; ${executable}`);
    expect(check).toContain(executable);
    const { code, stdout, stderr } = await runCommand(["sh", "-c", check]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    for (const name of Object.keys(exampleVariables(product))) expect(stdout).toContain(`# ${name}\n`);
  });

  test("gives a stop more time than clients get, and a watchdog more than a worker that hangs", () => {
    const text = read(`etcdproxy-${product}.service`);
    const invocation = parseCommandLine([product, "start"], undefined);
    if (invocation.command !== product) throw new Error("no product");
    const seconds = (key: string): number => Number.parseInt(valuesOf(text, key)[0] ?? "", 10);
    expect(seconds("TimeoutStopSec") * 1_000).toBeGreaterThan(invocation.flags.drainTimeoutMs);
    expect(seconds("WatchdogSec")).toBeGreaterThan(30);
  });
});

describe.skipIf(impossible !== undefined)(
  `under their restrictions${impossible === undefined ? "" : ` (${impossible})`}`,
  () => {
    let cluster: EtcdCluster;
    beforeAll(async () => {
      cluster = await startEtcdCluster({ members: 1 });
    });
    afterAll(() => cluster.dispose());

    test.each(products.flatMap((product) => [[product, "1"] as const, [product, "2"] as const]))(
      "%s serves clients with --workers=%s, tells of it, reloads and stops",
      async (product, workers) => {
        const restrictions = restrictionsOf(read(`etcdproxy-${product}.service`));
        await using receiver = await NotifyReceiver.bind(`@etcdproxy-units-${process.pid}`);
        const [port] = freePorts(1);
        // On all interfaces: what addresses this machine has is then looked for.
        const listen = [`--listen-addr=0.0.0.0:${port}`, `--workers=${workers}`];
        const told = product === "gateway" ? [] : ["--advertise-client-url="];
        const words = [product, "start", ...listen, ...told, `--endpoints=${cluster.endpoints[0]}`];
        await using proxy = new RestrictedEtcdproxy(restrictions, words, { NOTIFY_SOCKET: receiver.name });
        await Promise.race([
          receiver.nth("READY"),
          proxy.exited.then((code) => {
            throw new Error(`it ended with status ${code}: ${proxy.stderr.text}`);
          }),
        ]);
        const status = readFileSync(`/proc/${proxy.pid}/status`, "utf8");
        expect(status).toMatch(/^Uid:\t65534\t/m);
        expect(status).toMatch(/^CapBnd:\t0+$/m);
        expect(status).toMatch(/^NoNewPrivs:\t1$/m);
        expect(status).toMatch(/^Seccomp:\t2$/m);
        expect(readFileSync(`/proc/${proxy.pid}/mountinfo`, "utf8")).toMatch(/ \/ \/ ro\b/);

        const address = `127.0.0.1:${port}`;
        expect(await etcdctl([address], ["put", "restricted", product])).toMatchObject({ code: 0 });
        expect((await etcdctl([address], ["get", "restricted"])).stdout).toBe(`restricted\n${product}\n`);
        proxy.kill("SIGHUP");
        await receiver.nth("READY", 2);
        proxy.kill("SIGTERM");
        expect(await proxy.exited).toBe(0);
        const levels = proxy.stderr.lines.map((line) => (JSON.parse(line) as { level: string }).level);
        expect(levels.filter((level) => level === "error" || level === "warn")).toEqual([]);
      },
    );
  },
);
