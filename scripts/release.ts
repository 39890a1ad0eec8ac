/**
 * What `scripts/release` runs once the machine is set up: a build for each system, packed, summed and listed.
 *
 * Invariant: nothing is packed that was not built from this commit with the Bun whose checksum stands in bun.lock, and
 * the folder holds the files of one release only.
 */
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { version } from "../package.json";
import { billOfMaterials, readLock, type Lock } from "./bill-of-materials.ts";

/** Where the files go, unless told otherwise. */
const OUTPUT = "dist/release";

/** Each system's package of Bun. That for x64 asks for no AVX2. */
const runtimes = {
  "linux-x64": "@oven/bun-linux-x64",
  "linux-x64-musl": "@oven/bun-linux-x64-musl",
  "linux-arm64": "@oven/bun-linux-aarch64",
  "linux-arm64-musl": "@oven/bun-linux-aarch64-musl",
  "darwin-arm64": "@oven/bun-darwin-aarch64",
} as const;
type Target = keyof typeof runtimes;
const targets = Object.keys(runtimes) as Target[];

/** What is packed beside the executable: paths from the root. */
const companions = ["LICENSE", "README.md", "CHANGELOG.md", "SECURITY.md", "docs", "deploy"];

interface Artifact {
  readonly file: string;
  readonly bytes: number;
  readonly sha256: string;
}

interface Folders {
  readonly output: string;
  /** What was fetched is kept here. */
  readonly cache: string;
}

/** Ends the release with a line that says what is wrong. */
class ReleaseError extends Error {}

function say(text: string): void {
  console.error(`release: ${text}`);
}

async function output(command: readonly string[], cwd = "."): Promise<string> {
  const child = Bun.spawn([...command], { cwd, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (status !== 0) throw new ReleaseError(`${command.join(" ")} ended with status ${status}:\n${stderr}`);
  return stdout;
}

/** The path of the target's Bun, fetched unless it is there; checked each time. */
async function runtime(target: Target, lock: Lock, cache: string): Promise<string> {
  const name = runtimes[target];
  const locked = lock.get(name);
  if (locked === undefined) throw new ReleaseError(`bun.lock has no ${name}`);
  const folder = join(cache, `runtime-${target}-${locked.version}`);
  const archive = join(folder, "package.tgz");
  if (!(await Bun.file(archive).exists())) {
    if (Bun.which("npm") === null) throw new ReleaseError("npm is missing: it fetches Bun for other systems");
    say(`fetching ${name} ${locked.version}`);
    mkdirSync(folder, { recursive: true });
    const packed = await output(["npm", "pack", "--silent", `${name}@${locked.version}`], folder);
    await output(["mv", packed.trim(), "package.tgz"], folder);
  }
  const digest = createHash("sha512").update(readFileSync(archive)).digest("base64");
  if (`sha512-${digest}` !== locked.integrity) {
    rmSync(archive);
    throw new ReleaseError(`${name} ${locked.version} is not what bun.lock says that it is: removed`);
  }
  await output(["tar", "-xzf", "package.tgz", "package/bin/bun"], folder);
  return join(folder, "package/bin/bun");
}

/** The manual page, by the executable for this system; undefined where it has none. */
async function manualPage(): Promise<string | undefined> {
  await output(["scripts/build"]);
  const child = Bun.spawn(["dist/etcdproxy", "man"], { stdin: "ignore", stdout: "pipe", stderr: "ignore" });
  const text = await new Response(child.stdout).text();
  return (await child.exited) === 0 && /^\.TH /m.test(text) ? text : undefined;
}

/** Builds for `target` and packs it. All files are owned by root, and as old as the commit. */
async function pack(
  target: Target,
  executableOfBun: string,
  folderOf: Folders,
  manual: string | undefined,
  seconds: string,
): Promise<Artifact> {
  const name = `etcdproxy-${version}-${target}`;
  const work = mkdtempSync(join(tmpdir(), "etcdproxy-release-"));
  try {
    const folder = join(work, name);
    mkdirSync(folder);
    const executable = join(folder, "etcdproxy");
    await output([
      "scripts/build",
      `--target=${target}`,
      `--runtime=${executableOfBun}`,
      `--output=${executable}`,
    ]);
    chmodSync(executable, 0o755);
    for (const path of companions) {
      const files = (await output(["git", "ls-files", "--", path])).trim().split("\n").filter(Boolean);
      for (const file of files) {
        mkdirSync(dirname(join(folder, file)), { recursive: true });
        copyFileSync(file, join(folder, file));
      }
    }
    if (manual !== undefined) writeFileSync(join(folder, "etcdproxy.1"), manual);
    const file = `${name}.tar.gz`;
    const tarball = join(work, "release.tar");
    const same = ["--format=ustar", "--sort=name", "--owner=0", "--group=0", "--numeric-owner"];
    const modes = "--mode=u+rwX,go+rX,go-w";
    await output(["tar", ...same, modes, `--mtime=@${seconds}`, "-C", work, "-cf", tarball, name]);
    await output(["gzip", "-n", tarball]);
    await output(["mv", `${tarball}.gz`, join(folderOf.output, file)]);
    return artifact(folderOf.output, file);
  } finally {
    rmSync(work, { recursive: true });
  }
}

function artifact(folder: string, file: string): Artifact {
  const bytes = readFileSync(join(folder, file));
  return { file, bytes: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") };
}

async function release(folderOf: Folders, chosen: readonly Target[]): Promise<void> {
  const lock = await readLock();
  const seconds =
    process.env["SOURCE_DATE_EPOCH"] ?? (await output(["git", "log", "-1", "--format=%ct"])).trim();
  rmSync(folderOf.output, { recursive: true, force: true });
  mkdirSync(folderOf.output, { recursive: true });
  const manual = await manualPage();
  const artifacts: Artifact[] = [];
  for (const target of chosen) {
    say(`${target}: building and packing`);
    artifacts.push(
      await pack(target, await runtime(target, lock, folderOf.cache), folderOf, manual, seconds),
    );
  }
  const bill = `etcdproxy-${version}.cdx.json`;
  const when = new Date(Number(seconds) * 1_000);
  writeFileSync(
    join(folderOf.output, bill),
    `${JSON.stringify(await billOfMaterials(lock, when), null, 2)}\n`,
  );
  artifacts.push(artifact(folderOf.output, bill));
  const sums = artifacts.map(({ file, sha256 }) => `${sha256}  ${file}\n`);
  writeFileSync(join(folderOf.output, "SHA256SUMS"), sums.join(""));
  for (const { file, bytes, sha256 } of artifacts) {
    console.log(`${file.padEnd(44)} ${(bytes / 1e6).toFixed(1).padStart(6)} MB  ${sha256}`);
  }
}

async function main([cache = "", ...words]: readonly string[]): Promise<void> {
  const chosen = new Set<string>();
  let isCommitted = true;
  let folder = OUTPUT;
  for (const word of words) {
    const [, target] = /^--target=(.+)$/.exec(word) ?? [];
    const [, path] = /^--output=(.+)$/.exec(word) ?? [];
    if (word === "--uncommitted") isCommitted = false;
    else if (path !== undefined) folder = path;
    else if (target !== undefined && targets.some((known) => known === target)) chosen.add(target);
    else {
      const usage = `scripts/release [--target=${targets.join("|")}]... [--output=FOLDER] [--uncommitted]`;
      throw new ReleaseError(`unknown argument ${word}; usage: ${usage}`);
    }
  }
  if (isCommitted && (await output(["git", "status", "--porcelain"])) !== "") {
    throw new ReleaseError("there are changes that are not committed, see git status; or say --uncommitted");
  }
  const folderOf = { output: folder, cache };
  await release(folderOf, chosen.size === 0 ? targets : targets.filter((target) => chosen.has(target)));
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof ReleaseError)) throw error;
  say(error.message);
  process.exit(1);
}
