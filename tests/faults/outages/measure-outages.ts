/**
 * Lets every outage happen with our proxies and with etcd's own, and prints the figures as Markdown: what
 * `scripts/faults` runs once the machine is set up.
 *
 * Invariant: however it ends, every process that it started is gone. It exits with 1 when something could not be run,
 * or when ours lost what it must not lose.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { versions } from "../../bench/versions.ts";
import { ensureBuilt } from "../../harness/etcdproxy-process.ts";
import { type Contender, MAKERS, PRODUCTS } from "./contenders.ts";
import { type Outage, outages } from "./outage-catalogue.ts";
import { type OutageReport, runOutage } from "./outage-run.ts";
import { brokenPromises } from "./outage-promise.ts";
import { type Findings, OutageStage } from "./outage-stage.ts";
import { failedCalls, type OutageResult, outageTables, seconds } from "./outage-table.ts";
import {
  inPrivateNetwork,
  isInPrivateNetwork,
  PrivateNetwork,
  whyNoPrivateNetwork,
} from "./private-network.ts";

const USAGE = `usage: scripts/faults [options]
  --only ID,…       only these outages: ${outages.map(({ id }) => id).join(", ")}
  --product NAME    only the ${PRODUCTS.join(" or the ")}
  --maker NAME      only those of ${MAKERS.join(" or ")}
  --etcd DIR        folder with etcd and etcdctl (default: what scripts/etcd 3.5 prints)
  --json FILE       also writes all figures there
  --update          also puts the tables into tests/README.md`;

const README = join(import.meta.dir, "..", "..", "README.md");
/** The tables of tests/README.md stand between these lines. */
const MARKS = ["<!-- scripts/faults begins -->", "<!-- scripts/faults ends -->"] as const;

interface FaultsOptions {
  readonly chosen: readonly Outage[];
  readonly contenders: readonly Contender[];
  readonly jsonFile: string | undefined;
  readonly update: boolean;
}

/** @throws Error that names the argument which is wrong. */
function parseOptions(words: readonly string[]): FaultsOptions {
  const { values } = parseArgs({
    args: [...words],
    options: {
      only: { type: "string" },
      product: { type: "string" },
      maker: { type: "string" },
      json: { type: "string" },
      update: { type: "boolean", default: false },
    },
  });
  const ids = values.only?.split(",");
  const unknown = ids?.find((id) => !outages.some((outage) => outage.id === id));
  if (unknown !== undefined) throw new Error(`--only ${unknown}: no such outage`);
  const contenders = PRODUCTS.flatMap((product) => MAKERS.map((maker) => ({ product, maker }))).filter(
    ({ product, maker }) =>
      (values.product === undefined || values.product === product) &&
      (values.maker === undefined || values.maker === maker),
  );
  if (contenders.length === 0) throw new Error("no proxy is of this product and maker");
  const chosen = outages.filter(({ id }) => ids === undefined || ids.includes(id));
  return { chosen, contenders, jsonFile: values.json, update: values.update };
}

const startedAtMs = performance.now();

function progress(line: string): void {
  const passed = String(Math.round((performance.now() - startedAtMs) / 1000));
  console.error(`${passed.padStart(4)} s  ${line}`);
}

function inShort(report: OutageReport): string {
  const { reads, writes } = report.figures;
  const lost = [report.lostWrites, report.watchViolations, report.lostLeases].map(({ length }) => length);
  const silences = `reads ${seconds(reads.silenceMs, report)}, writes ${seconds(writes.silenceMs, report)}`;
  return `${silences}, failed ${failedCalls(report)}, lost ${lost.join("/")}`;
}

/** All outages with one proxy. What cannot be run is told in its place, and the next begins with another cluster. */
async function measure(
  contender: Contender,
  chosen: readonly Outage[],
  network: PrivateNetwork | undefined,
): Promise<OutageResult[]> {
  const results: OutageResult[] = [];
  let stage: OutageStage | undefined;
  let stageFindings: Findings | undefined;
  try {
    for (const outage of chosen.filter(({ suits }) => suits?.(contender) !== false)) {
      const name = `${contender.maker} ${contender.product}, ${outage.id}`;
      const { findings = "endpoints" } = outage;
      if (stageFindings !== findings) await stage?.[Symbol.asyncDispose]();
      if (stageFindings !== findings) stage = await OutageStage.start(findings, network);
      stageFindings = findings;
      try {
        const report = await runOutage(stage!, contender, outage);
        progress(`${name}: ${inShort(report)}`);
        results.push({ outage, contender, report });
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        progress(`${name} FAILED: ${reason}`);
        results.push({ outage, contender, report: reason });
        stageFindings = undefined;
      }
    }
  } finally {
    await stage?.[Symbol.asyncDispose]();
  }
  return results;
}

/** What was not run, and what ours promised and did not keep. */
function problems({ contender, outage, report }: OutageResult): string[] {
  const name = `${contender.maker} ${contender.product}, ${outage.id}`;
  if (typeof report === "string") return [`${name}: did not run`];
  if (contender.maker !== "etcdproxy") return [];
  return brokenPromises(contender, outage, report).map((broken) => `${name}: ${broken}`);
}

function updateReadme(lines: readonly string[]): void {
  const text = readFileSync(README, "utf8");
  const [begin, end] = MARKS.map((mark) => text.indexOf(mark)) as [number, number];
  if (begin === -1 || end < begin) throw new Error(`${README} has no place for the tables`);
  writeFileSync(
    README,
    `${text.slice(0, begin + MARKS[0].length)}\n\n${lines.join("\n")}\n${text.slice(end)}`,
  );
}

/** Runs this program again, where packets can be lost. */
async function again(): Promise<number> {
  const { command, env } = inPrivateNetwork(process.argv);
  const child = Bun.spawn([...command], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "inherit", "inherit"],
  });
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, () => child.kill(name));
  return child.exited;
}

async function main(): Promise<number> {
  const words = process.argv.slice(2);
  if (words.includes("--help") || words.includes("-h")) {
    console.log(USAGE);
    return 0;
  }
  const options = parseOptions(words);
  if (!isInPrivateNetwork() && (await whyNoPrivateNetwork()) === undefined) return again();
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, () => process.exit(1));
  await ensureBuilt();
  const { etcdproxy, etcd, kernel, processor } = versions();
  const results: OutageResult[] = [];
  const network = isInPrivateNetwork() ? await PrivateNetwork.create(3) : undefined;
  for (const contender of options.contenders) {
    results.push(...(await measure(contender, options.chosen, network)));
  }
  const partition =
    network === undefined ? "relays that carry nothing" : "network namespaces that lose packets";
  const lines = [
    `${etcdproxy}; ${etcd}; ${kernel}; ${processor}; partitions by ${partition}.`,
    "",
    ...outageTables(results),
  ];
  console.log(lines.join("\n"));
  if (options.update) updateReadme(lines);
  if (options.jsonFile !== undefined) {
    writeFileSync(options.jsonFile, `${JSON.stringify(results, undefined, 2)}\n`);
  }
  const found = results.flatMap(problems);
  for (const problem of found) console.error(`NOT AS PROMISED  ${problem}`);
  return found.length > 0 ? 1 : 0;
}

try {
  process.exit(await main());
} catch (error) {
  console.error(`faults: ${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
  process.exit(1);
}
