/**
 * Every outage of the catalogue with both products, under a steady load: clients get on in time, no acknowledged write
 * is lost, no event missed or told twice, no lease lost.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ensureBuilt } from "../../harness/etcdproxy-process.ts";
import { PRODUCTS } from "./contenders.ts";
import { outages } from "./outage-catalogue.ts";
import { brokenPromises } from "./outage-promise.ts";
import { runOutage } from "./outage-run.ts";
import { FINDINGS, OutageStage } from "./outage-stage.ts";

const TIMEOUT_MS = 240_000;

const stages = PRODUCTS.flatMap((product) => FINDINGS.map((findings) => ({ product, findings })));

describe.each(stages)("$product, told of members by $findings:", ({ product, findings }) => {
  const contender = { maker: "etcdproxy", product } as const;
  const suitable = outages.filter(
    (outage) => (outage.findings ?? "endpoints") === findings && outage.suits?.(contender) !== false,
  );
  if (suitable.length === 0) return;

  let stage: OutageStage;
  beforeAll(async () => {
    await ensureBuilt();
    stage = await OutageStage.start(findings);
  }, TIMEOUT_MS);
  afterAll(() => stage[Symbol.asyncDispose]());

  test.each(suitable.map((outage) => [outage.title, outage] as const))(
    "%s",
    async (_title, outage) => {
      const report = await runOutage(stage, contender, outage);
      expect(brokenPromises(contender, outage, report), JSON.stringify(report, undefined, 2)).toEqual([]);
    },
    TIMEOUT_MS,
  );
});
