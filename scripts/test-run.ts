/**
 * What `scripts/test` runs once the machine is set up: the checks, then the tests of each folder under tests/
 * in a process of their own, then, when asked, some of them again with other etcds.
 *
 * One line tells each step's counts and duration as it ends; a step that failed shows its output. The last line
 * is the sum, and the exit status is 0 only when nothing failed.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  describeTally,
  nothing,
  oneFailed,
  onePassed,
  oneSkipped,
  sum,
  tallyOf,
  type Tally,
} from "./test-tally.ts";

/** A step that has not ended by then hangs: it is ended, and counts as failed. */
const STEP_MAX_MS = 8 * 60_000;
const LONG_STEP_MAX_MS = 60 * 60_000;
/** How long an etcd may take to unpack where only those are tried that are quickly there. */
const UNPACK_MAX_MS = 60_000;
/** `scripts/etcd` ends so when this machine cannot have that etcd. */
const STATUS_UNAVAILABLE = 3;

const checks: readonly (readonly [name: string, command: readonly string[]])[] = [
  ["format", ["bun", "fmt", "--check"]],
  ["lint", ["oxlint", "--type-aware"]],
  ["types", ["tsc", "--noEmit"]],
  ["types, status page", ["tsc", "--noEmit", "--project", "src/observe/status-page/browser"]],
  ["build", ["scripts/build"]],
];

/** Groups that need processes and time come last, in this order; the others before them, by name. */
const lateGroups = ["harness", "smoke", "e2e", "monitoring", "status-page", "fuzz", "workers", "faults"];
/** Groups so large that each folder in them is a step of its own. */
const dividedGroups = new Set(["e2e", "faults"]);
/** What is run again with each other etcd. */
const groupsForOtherEtcds = { quick: ["smoke"], all: ["smoke", "e2e"] };

type Scope = "usual" | "otherEtcdsQuickly" | "all";

interface Finished {
  readonly output: string;
  readonly status: number;
}

function scopeOf(options: readonly string[]): Scope {
  const [option, ...more] = options;
  if (option === undefined) return "usual";
  if (option === "--all" && more.length === 0) return "all";
  if (option === "--other-etcds" && more.length === 0) return "otherEtcdsQuickly";
  console.error(`test: unknown arguments ${options.join(" ")}; usage: scripts/test [--all]`);
  process.exit(1);
}

async function run(
  command: readonly string[],
  deadlineMs: number,
  environment: Readonly<Record<string, string>> = {},
): Promise<Finished> {
  const child = Bun.spawn([...command], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, ...environment },
  });
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, deadlineMs);
  const [stdout, stderr, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  clearTimeout(timer);
  const verdict = late ? `\nended after ${deadlineMs / 1000} s: it hangs\n` : "";
  return { output: stdout + stderr + verdict, status };
}

/** Runs one step, tells its outcome on one line, and its output when it failed. */
async function step(name: string, body: () => Promise<{ tally: Tally; output: string }>): Promise<Tally> {
  process.stdout.write(`${name.padEnd(22)} `);
  const startedAt = performance.now();
  const { tally, output } = await body();
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  console.log(`${describeTally(tally)} in ${seconds} s`);
  if (tally.failed > 0) console.log(output.trimEnd());
  return tally;
}

function runCheck(name: string, command: readonly string[]): Promise<Tally> {
  return step(name, async () => {
    const { output, status } = await run(command, STEP_MAX_MS);
    return { tally: status === 0 ? onePassed : oneFailed, output };
  });
}

function holdsTests(folder: string): boolean {
  return [...new Bun.Glob("**/*.test.ts").scanSync(folder)].length > 0;
}

/** The folders in `folder` that hold tests, as paths from tests/. */
function foldersWithTests(folder: string): string[] {
  return readdirSync(join("tests", folder), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && holdsTests(join("tests", folder, entry.name)))
    .map((entry) => join(folder, entry.name))
    .sort();
}

/** The folders under tests/ that hold tests, and "tests" for the files that lie in tests/ itself. */
function testGroups(): string[] {
  const folders = foldersWithTests(".").sort(
    (left, right) => lateGroups.indexOf(left) - lateGroups.indexOf(right) || left.localeCompare(right),
  );
  return ["tests", ...folders.flatMap((folder) => (dividedGroups.has(folder) ? divided(folder) : [folder]))];
}

/** The group of the files that lie in the folder itself, and one for each folder in it. */
function divided(folder: string): string[] {
  return [folder, ...foldersWithTests(folder)];
}

function filesOf(group: string): string[] {
  const folder = group === "tests" ? "tests" : `tests/${group}`;
  if (group !== "tests" && !dividedGroups.has(group)) return [`./${folder}/`];
  return [...new Bun.Glob("*.test.ts").scanSync(folder)].sort().map((file) => `./${folder}/${file}`);
}

function runGroup(
  name: string,
  group: string,
  environment: Readonly<Record<string, string>>,
): Promise<Tally> {
  return step(name, async () => {
    const folder = mkdtempSync(join(tmpdir(), "etcdproxy-report-"));
    const reportFile = join(folder, "report.xml");
    const command = [
      "bun",
      "test",
      "--timeout=60000", // What can hang gives up by itself before that, and says what it waited for.
      "--reporter=junit",
      `--reporter-outfile=${reportFile}`,
      ...filesOf(group),
    ];
    const deadlineMs = environment["ETCDPROXY_TEST_LONG"] === undefined ? STEP_MAX_MS : LONG_STEP_MAX_MS;
    try {
      const { output, status } = await run(command, deadlineMs, environment);
      const report = existsSync(reportFile) ? readFileSync(reportFile, "utf8") : undefined;
      return { tally: tallyOf(report, status), output: output.replace(/^\((pass|skip)\) .*\n/gm, "") };
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
}

/** Runs what `scope` says with the etcd that `scripts/etcd <version>` provides. */
async function runWithEtcd(version: string, scope: Scope): Promise<Tally> {
  const quick = scope !== "all";
  // What takes longer than a minute to get is used here only when somebody has built it already.
  const how = quick && version === "latest" ? ["--print"] : [];
  let folder = "";
  let tally = await step(`etcd ${version}`, async () => {
    const command = ["scripts/etcd", version, ...how];
    const { output, status } = await run(command, quick ? UNPACK_MAX_MS : STEP_MAX_MS);
    folder = status === 0 ? (output.split("\n").find((line) => line.startsWith("/")) ?? "") : "";
    if (folder !== "") return { tally: onePassed, output };
    const unavailable = status === STATUS_UNAVAILABLE || quick;
    if (unavailable) console.log(output.trim());
    return { tally: unavailable ? oneSkipped : oneFailed, output };
  });
  if (folder === "") return tally;
  const groups = quick ? groupsForOtherEtcds.quick : groupsForOtherEtcds.all;
  for (const group of testGroups().filter((candidate) => groups.includes(candidate.split("/", 1)[0]!))) {
    const name = `${group}, etcd ${version}`;
    tally = sum(tally, await runGroup(name, group, { ETCDPROXY_TEST_ETCD_DIR: folder }));
  }
  return tally;
}

const scope = scopeOf(process.argv.slice(2));
const startedAt = performance.now();
let total = nothing;
for (const [name, command] of checks) total = sum(total, await runCheck(name, command));
const environment: Record<string, string> = scope === "all" ? { ETCDPROXY_TEST_LONG: "1" } : {};
for (const group of testGroups()) total = sum(total, await runGroup(group, group, environment));
if (scope !== "usual") {
  for (const version of ["3.5", "latest"]) total = sum(total, await runWithEtcd(version, scope));
}
console.log(`all done in ${((performance.now() - startedAt) / 60_000).toFixed(1)} min`);
console.log(describeTally(total));
process.exit(total.failed === 0 ? 0 : 1);
