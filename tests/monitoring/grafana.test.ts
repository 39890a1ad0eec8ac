/** The dashboard of deploy/grafana: Grafana can read it, and what it asks for is there. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { runCommand } from "../harness/child-process.ts";
import { type Family, readExposition } from "../harness/exposition.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";
import { labelsIn, metricsIn } from "./expressions.ts";
import { productPages } from "./product-pages.ts";
import { promtool } from "./promtool.ts";

setDefaultTimeout(60_000);

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly datasource?: { readonly uid: string };
  readonly targets?: readonly {
    readonly refId: string;
    readonly expr: string;
    readonly legendFormat: string;
    readonly datasource: { readonly uid: string };
  }[];
}

interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly schemaVersion: number;
  readonly templating: { readonly list: readonly { readonly name: string; readonly type: string }[] };
  readonly panels: readonly Panel[];
}

const file = join(import.meta.dir, "../../deploy/grafana/etcdproxy.json");
const dashboard = (await Bun.file(file).json()) as Dashboard;
const panels = dashboard.panels.filter(({ type }) => type !== "row");
const targets = panels.flatMap((panel) =>
  (panel.targets ?? []).map((target) => ({ ...target, panel: panel.title })),
);

describe("the dashboard", () => {
  test("has its variables: the data source, jobs and instances", () => {
    expect(dashboard.templating.list.map(({ name, type }) => [name, type])).toEqual([
      ["datasource", "datasource"],
      ["job", "query"],
      ["instance", "query"],
    ]);
    expect([dashboard.uid, dashboard.title, typeof dashboard.schemaVersion]).toEqual([
      "etcdproxy",
      "etcdproxy",
      "number",
    ]);
  });

  test("has panels with ids of their own, which tell what they show", () => {
    const ids = dashboard.panels.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(panels.filter(({ description = "" }) => description === "")).toEqual([]);
    expect(panels.filter((panel) => (panel.targets ?? []).length === 0)).toEqual([]);
    for (const panel of panels) {
      const refIds = panel.targets!.map(({ refId }) => refId);
      expect(new Set(refIds).size).toBe(refIds.length);
    }
  });

  test("has no two panels in the same place, and none outside", () => {
    const taken = new Map<string, string>();
    for (const { title, gridPos } of dashboard.panels) {
      const { x, y, w, h } = gridPos;
      expect([title, x >= 0 && w > 0 && h > 0 && x + w <= 24]).toEqual([title, true]);
      for (let column = x; column < x + w; column++) {
        for (let line = y; line < y + h; line++) {
          const cell = `${column},${line}`;
          expect([title, taken.get(cell)]).toEqual([title, undefined]);
          taken.set(cell, title);
        }
      }
    }
  });

  test("asks the chosen data source, of the chosen instances only", () => {
    const others = [...panels, ...targets].filter(({ datasource }) => datasource?.uid !== "${datasource}");
    expect(others).toEqual([]);
    for (const { expr, panel } of targets) {
      const selectors = expr.match(/\{[^}]*\}/g) ?? [];
      expect([panel, selectors.length]).toEqual([panel, metricsIn(expr).length]);
      for (const selector of selectors) expect(selector).toStartWith('{job=~"$job",instance=~"$instance"');
    }
  });

  test("asks in PromQL that Prometheus can read", async () => {
    using folder = new TemporaryFolder("grafana");
    const rules = targets.map(({ expr }, index) => ({
      record: `panel:${index}`,
      expr: expr.replaceAll("$__rate_interval", "5m").replaceAll(/\$(?:job|instance)/g, ".*"),
    }));
    const rulesFile = join(folder.path, "rules.yaml");
    // JSON is YAML.
    await Bun.write(rulesFile, JSON.stringify({ groups: [{ name: "panels", rules }] }));
    const checked = await runCommand([promtool, "check", "rules", rulesFile]);
    expect(checked).toMatchObject({ code: 0, stderr: "" });
    expect(checked.stdout).toContain(`SUCCESS: ${rules.length} rules found`);
  });
});

describe("what it asks for", () => {
  const pages = productPages();
  /** Metrics by name, of both products and however many workers. */
  const told = (): Map<string, Family[]> => {
    const families = new Map<string, Family[]>();
    for (const page of [pages(1), pages(2)].flatMap(({ grpcProxy, gateway }) => [grpcProxy, gateway])) {
      for (const [name, family] of readExposition(page))
        families.set(name, [...(families.get(name) ?? []), family]);
    }
    return families;
  };

  test("is on the pages: each metric by its name", () => {
    const names = told();
    const missing = targets.flatMap(({ expr }) => metricsIn(expr).filter((name) => !names.has(name)));
    expect(missing).toEqual([]);
  });

  test("has the labels that are matched and grouped by", () => {
    const families = told();
    const given = ["job", "instance"]; // By Prometheus.
    for (const { expr, panel } of targets) {
      const samples = metricsIn(expr).flatMap((name) =>
        families.get(name)!.flatMap(({ samples: each }) => [...each.keys()]),
      );
      // Of what has never happened nothing is told.
      if (samples.length === 0) continue;
      const missing = labelsIn(expr).filter(
        (label) => !given.includes(label) && !samples.some((series) => series.includes(`${label}="`)),
      );
      expect([panel, missing]).toEqual([panel, []]);
    }
  });

  test("is all that is told: each metric has a place on it", () => {
    const asked = new Set(targets.flatMap(({ expr }) => metricsIn(expr)));
    expect([...told().keys()].filter((name) => !asked.has(name))).toEqual([]);
  });
});
