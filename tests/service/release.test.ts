/** What scripts/release makes: archives that are what their names say, and the same each time. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { runCommand, spawnPiped } from "../harness/child-process.ts";
import { startEtcdCluster } from "../harness/etcd-cluster.ts";
import { etcdctl } from "../harness/etcdctl.ts";
import { LineLog } from "../harness/line-log.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";
import { type ExecutableFormat, executableFormat } from "./executable-format.ts";
import manifest from "../../package.json";

const RELEASE_MAX_MS = 900_000;
setDefaultTimeout(RELEASE_MAX_MS);

const repository = join(import.meta.dir, "..", "..");
const isLong = (process.env["ETCDPROXY_TEST_LONG"] ?? "") !== "";
const native = process.arch === "arm64" ? "linux-arm64" : "linux-x64";

const formats: Readonly<Record<string, ExecutableFormat>> = {
  "linux-x64": { format: "ELF", machine: "x64", interpreter: "/lib64/ld-linux-x86-64.so.2" },
  "linux-x64-musl": { format: "ELF", machine: "x64", interpreter: "/lib/ld-musl-x86_64.so.1" },
  "linux-arm64": { format: "ELF", machine: "arm64", interpreter: "/lib/ld-linux-aarch64.so.1" },
  "linux-arm64-musl": { format: "ELF", machine: "arm64", interpreter: "/lib/ld-musl-aarch64.so.1" },
  "darwin-arm64": { format: "Mach-O", machine: "arm64", isSigned: true },
};
const targets = isLong ? Object.keys(formats) : [native, "darwin-arm64"];
const bill = `etcdproxy-${manifest.version}.cdx.json`;

let folder: TemporaryFolder;
beforeAll(async () => {
  folder = new TemporaryFolder("release");
  await release("made", targets);
  for (const target of targets) {
    const archive = folder.file(`made/${nameOf(target)}.tar.gz`);
    await runCommand(["tar", "-xzf", archive, "-C", folder.path], { deadlineMs: 120_000 });
  }
}, RELEASE_MAX_MS);
afterAll(() => folder[Symbol.dispose]());

function nameOf(target: string): string {
  return `etcdproxy-${manifest.version}-${target}`;
}

/** Makes a release of `chosen` in the folder's `name`. */
async function release(name: string, chosen: readonly string[]): Promise<void> {
  const words = [
    `--output=${folder.file(name)}`,
    "--uncommitted",
    ...chosen.map((each) => `--target=${each}`),
  ];
  const command = [join(repository, "scripts/release"), ...words];
  const { code, stderr } = await runCommand(command, { deadlineMs: RELEASE_MAX_MS });
  if (code !== 0) throw new Error(`scripts/release ended with status ${code}:\n${stderr}`);
}

function executableOf(target: string): string {
  return folder.file(`${nameOf(target)}/etcdproxy`);
}

function sums(name: string): string[] {
  return readFileSync(folder.file(`${name}/SHA256SUMS`), "utf8")
    .trimEnd()
    .split("\n");
}

test("the sums are those of the files, and no file is without", async () => {
  const files = [...targets.map((target) => `${nameOf(target)}.tar.gz`), bill];
  expect(readdirSync(folder.file("made")).sort()).toEqual([...files, "SHA256SUMS"].sort());
  expect(
    sums("made")
      .map((line) => line.split("  ")[1] ?? "")
      .sort(),
  ).toEqual([...files].sort());
  const checked = await runCommand(["sha256sum", "--check", "--strict", "SHA256SUMS"], {
    cwd: folder.file("made"),
  });
  expect(checked).toMatchObject({ code: 0 });
});

test.each(targets)("the executable for %s is for that system", (target) => {
  expect(executableFormat(executableOf(target))).toEqual(formats[target]!);
});

test.each(targets)("the archive for %s has what belongs to it, owned by root", async (target) => {
  const archive = folder.file(`made/${nameOf(target)}.tar.gz`);
  const { stdout } = await runCommand(["tar", "-tvzf", archive, "--numeric-owner"]);
  const lines = stdout.trimEnd().split("\n");
  const names = lines.map((line) => line.split(`${nameOf(target)}/`)[1] ?? "");
  for (const name of [
    "etcdproxy",
    "LICENSE",
    "README.md",
    "CHANGELOG.md",
    "deploy/systemd/etcdproxy-gateway.service",
    "docs/README.md",
  ]) {
    expect(names).toContain(name);
  }
  expect(lines.filter((line) => !/^[-d]rw[x-]r-[x-]r-[x-] 0\/0 /.test(line))).toEqual([]);
  expect(lines.find((line) => line.endsWith("/etcdproxy"))).toStartWith("-rwxr-xr-x");
});

test("that for this system runs, and names no folder of the machine that it was built on", async () => {
  const { code, stdout } = await runCommand([executableOf(native), "version"]);
  expect(code).toBe(0);
  expect(stdout).toContain(`etcdproxy Version: ${manifest.version}`);
  expect(readFileSync(executableOf(native)).includes(`${repository}/`)).toBe(false);
});

test("the same sources give the same bytes", async () => {
  const chosen = isLong ? targets : [native];
  await release("again", chosen);
  const again = sums("again");
  expect(again).toHaveLength(chosen.length + 1);
  for (const line of again) expect(sums("made")).toContain(line);
});

describe("the bill of materials", () => {
  interface Component {
    readonly name: string;
    readonly version: string;
    readonly "bom-ref": string;
    readonly licenses?: unknown;
    readonly hashes: readonly { readonly alg: string; readonly content: string }[];
  }
  interface Bill {
    readonly bomFormat: string;
    readonly specVersion: string;
    readonly serialNumber: string;
    readonly metadata: { readonly component: Component };
    readonly components: readonly Component[];
    readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
  }
  let read: Bill;
  beforeAll(async () => {
    read = (await Bun.file(folder.file(`made/${bill}`)).json()) as Bill;
  });

  test("has every package that is in the executable, in its version, and none of the tools", () => {
    const versions = Object.fromEntries(read.components.map(({ name, version }) => [name, version]));
    expect(versions).toMatchObject({ ...manifest.dependencies, bun: manifest.devDependencies.bun });
    for (const tool of ["typescript", "oxlint", "fast-check", "etcd3"])
      expect(versions).not.toHaveProperty(tool);
  });

  test("tells license and checksum of each", () => {
    expect(read.components.filter(({ licenses }) => licenses === undefined)).toEqual([]);
    for (const { hashes } of read.components) {
      expect(hashes).toEqual([{ alg: "SHA-512", content: expect.stringMatching(/^[0-9a-f]{128}$/) }]);
    }
  });

  test("is well formed: each reference is to something in it, once", () => {
    expect(read).toMatchObject({ bomFormat: "CycloneDX", specVersion: "1.6" });
    expect(read.serialNumber).toMatch(/^urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    const references = [read.metadata.component, ...read.components].map((each) => each["bom-ref"]);
    expect(new Set(references).size).toBe(references.length);
    const named = read.dependencies.flatMap(({ ref, dependsOn }) => [ref, ...dependsOn]);
    expect(named.filter((each) => !references.includes(each))).toEqual([]);
  });
});

describe("what cannot be right is refused", () => {
  const run = (...words: string[]) =>
    runCommand([process.execPath, "scripts/release.ts", ...words], { cwd: repository, deadlineMs: 200_000 });

  test("a system that there is no build for", async () => {
    const { code, stderr } = await run(folder.file("cache"), "--target=plan9-x64");
    expect(code).toBe(1);
    expect(stderr).toStartWith("release: unknown argument --target=plan9-x64; usage: ");
  });

  test("a Bun that is not the one of bun.lock, which is not kept either", async () => {
    const kept = folder.file(`cache/runtime-darwin-arm64-${manifest.devDependencies.bun}`);
    mkdirSync(kept, { recursive: true });
    writeFileSync(join(kept, "package.tgz"), "something else");
    const words = ["--target=darwin-arm64", "--uncommitted", `--output=${folder.file("refused")}`];
    const { code, stderr } = await run(folder.file("cache"), ...words);
    expect(code).toBe(1);
    expect(stderr).toContain("is not what bun.lock says that it is");
    expect(existsSync(join(kept, "package.tgz"))).toBe(false);
    expect(readdirSync(folder.file("refused"))).toEqual([]);
  });
});

const qemu = Bun.which("qemu-aarch64-static");
const arm64Root = "/usr/aarch64-linux-gnu";
const canEmulate = isLong && native !== "linux-arm64" && qemu !== null && existsSync(arm64Root);

test.skipIf(!canEmulate)("that for linux-arm64 serves clients, in an emulator", async () => {
  await using cluster = await startEtcdCluster({ members: 1 });
  const listen = ["--listen-addr=127.0.0.1:0", `--endpoints=${cluster.endpoints[0]}`];
  const emulated = [qemu ?? "", "-L", arm64Root, executableOf("linux-arm64")];
  const child = spawnPiped([...emulated, "grpc-proxy", "start", ...listen]);
  try {
    const stderr = new LineLog("the emulated proxy", child.stderr);
    const address = await stderr.find(
      "the ready line",
      (line) =>
        line.includes("started gRPC proxy") ? (JSON.parse(line) as { address: string }).address : undefined,
      120_000,
    );
    expect(await etcdctl([address], ["put", "emulated", "arm64"])).toMatchObject({ code: 0 });
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
  } finally {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
    await child.exited;
  }
});
