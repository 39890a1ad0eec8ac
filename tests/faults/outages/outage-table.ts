/**
 * The figures of outages as Markdown: a table for each product, in which each outage has a line for either proxy.
 */
import { PRODUCTS, type Contender, type Product } from "./contenders.ts";
import type { Outage } from "./outage-catalogue.ts";
import { type OutageReport, RECOVERY_MAX_MS, type Sort } from "./outage-run.ts";

/** One outage with one proxy. */
export interface OutageResult {
  readonly outage: Outage;
  readonly contender: Contender;
  /** What came of it, or why nothing did. */
  readonly report: OutageReport | string;
}

type SilenceReport = Pick<OutageReport, "gotOnMeanwhile" | "heldMs">;

const HEAD = [
  "what happens",
  "proxy",
  "reads",
  "serializable reads",
  "writes",
  "events",
  "calls that failed",
  "writes lost",
  "events missed, doubled, misplaced",
  "leases lost",
] as const;

const CALL_SORTS = {
  reads: "reads",
  serializableReads: "serializable reads",
  writes: "writes",
} as const satisfies Partial<Record<Sort, string>>;

/** The lines of the tables of all products that there are results of, with a heading each. */
export function outageTables(results: readonly OutageResult[]): string[] {
  return PRODUCTS.flatMap((product) => {
    const ofProduct = results.filter(({ contender }) => contender.product === product);
    return ofProduct.length === 0 ? [] : productTable(product, ofProduct);
  });
}

function productTable(product: Product, results: readonly OutageResult[]): string[] {
  const titles = new Set(results.map(({ outage }) => outage.title));
  const rows = [...titles].flatMap((title) => {
    const same = results.filter(({ outage }) => outage.title === title);
    return same.map((result, index) => [index === 0 ? title : "", ...cells(result)]);
  });
  const lines = [HEAD, HEAD.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`);
  return [`### ${product}`, "", ...lines, ""];
}

function cells({ contender, report }: OutageResult): string[] {
  if (typeof report === "string") return [contender.maker, `did not run: ${report.replaceAll("|", "/")}`];
  const { figures, missedEvents, doubledEvents, misplacedEvents } = report;
  const events = [missedEvents, doubledEvents, misplacedEvents];
  return [
    contender.maker,
    ...(["reads", "serializableReads", "writes", "events"] as const).map((sort) =>
      seconds(figures[sort].silenceMs, report),
    ),
    failedCalls(report),
    part(report.lostWrites.length, report.acknowledgedWrites),
    events.every((count) => count === 0) ? "none" : events.join(", "),
    part(report.lostLeases.length, report.leases),
  ];
}

/** Milliseconds as seconds; what only the end of the outage ended is marked. */
export function seconds(silenceMs: number, { gotOnMeanwhile, heldMs }: SilenceReport): string {
  if (silenceMs === Infinity) return `more than ${RECOVERY_MAX_MS / 1000} s ⁕`;
  const text = `${(silenceMs / 1000).toFixed(silenceMs < 1000 ? 2 : 1)} s`;
  return gotOnMeanwhile || silenceMs < heldMs ? text : `${text} ⁕`;
}

/** What failed, and how often, in words: "reads: 3 UNAVAILABLE; writes: 1 UNKNOWN". */
export function failedCalls({ figures }: Pick<OutageReport, "figures">): string {
  const sorts = Object.entries(CALL_SORTS).flatMap(([sort, name]) => {
    const failed = Object.entries(figures[sort as Sort].failed);
    return failed.length === 0
      ? []
      : [`${name}: ${failed.map(([code, count]) => `${count} ${code}`).join(", ")}`];
  });
  return sorts.length === 0 ? "none" : sorts.join("; ");
}

function part(lost: number, all: number): string {
  return lost === 0 ? "none" : `${lost} of ${all}`;
}
