/** The alerts of deploy/prometheus: each fires when it should and not otherwise, and what it looks at is on the pages. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { runCommand } from "../harness/child-process.ts";
import { readExposition } from "../harness/exposition.ts";
import { metricsIn } from "./expressions.ts";
import { productPages } from "./product-pages.ts";
import { promtool } from "./promtool.ts";

setDefaultTimeout(60_000);

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly description: string };
}

const rulesFile = join(import.meta.dir, "../../deploy/prometheus/alerts.yaml");
const casesFile = join(import.meta.dir, "alerts.test.yaml");
const { groups } = Bun.YAML.parse(await Bun.file(rulesFile).text()) as {
  readonly groups: readonly { readonly rules: readonly Rule[] }[];
};
const rules = groups.flatMap((group) => group.rules);

const pages = productPages();

test("Prometheus can read them", async () => {
  const checked = await runCommand([promtool, "check", "rules", "--lint=all", "--lint-fatal", rulesFile]);
  expect(checked).toMatchObject({ code: 0, stderr: "" });
  expect(checked.stdout).toContain(`SUCCESS: ${rules.length} rules found`);
});

test("each fires when it should, and not otherwise", async () => {
  const tested = await runCommand([promtool, "test", "rules", casesFile]);
  expect(tested.stdout + tested.stderr).toContain("SUCCESS");
  expect(tested.code).toBe(0);
});

test("each has a case in which it fires", async () => {
  const { tests } = Bun.YAML.parse(await Bun.file(casesFile).text()) as {
    readonly tests: readonly {
      readonly alert_rule_test: readonly {
        readonly alertname: string;
        readonly exp_alerts: readonly unknown[];
      }[];
    }[];
  };
  const fired = new Set(
    tests.flatMap(({ alert_rule_test: cases }) =>
      cases.flatMap(({ alertname, exp_alerts: alerts }) => (alerts.length > 0 ? [alertname] : [])),
    ),
  );
  expect(rules.map(({ alert }) => alert).filter((alert) => !fired.has(alert))).toEqual([]);
});

test("each says how bad it is, what it is about and what to look at", () => {
  for (const { alert, labels, annotations } of rules) {
    expect(alert).toStartWith("Etcdproxy");
    expect(["critical", "warning", "info"]).toContain(labels.severity);
    expect(annotations.summary).toContain("$labels.instance");
    expect(annotations.description).toEndWith(".");
  }
});

test("what they look at is on the pages", () => {
  const names = new Set(
    [pages(1), pages(2)].flatMap(({ grpcProxy, gateway }) =>
      [grpcProxy, gateway].flatMap((page) => [...readExposition(page).keys()]),
    ),
  );
  const missing = rules.flatMap(({ alert, expr }) =>
    metricsIn(expr).flatMap((name) => (names.has(name) ? [] : [`${alert}: ${name}`])),
  );
  expect(missing).toEqual([]);
});
