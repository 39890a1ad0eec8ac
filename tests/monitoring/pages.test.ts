/** What Prometheus's own tool says of the pages of both products under load, with one worker and with several. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { runCommand } from "../harness/child-process.ts";
import { readExposition } from "../harness/exposition.ts";
import { productPages, WORKERS } from "./product-pages.ts";
import { promtool } from "./promtool.ts";

setDefaultTimeout(60_000);

const pages = productPages();
const each = WORKERS.flatMap((workers) => [["grpcProxy", workers] as const, ["gateway", workers] as const]);

test.each(each)(
  "promtool finds nothing to say about the page of the %s with %d worker(s)",
  async (product, workers) => {
    const checked = await runCommand([promtool, "check", "metrics"], {
      stdin: Buffer.from(pages(workers)[product]),
    });
    expect(checked).toMatchObject({ code: 0, stdout: "", stderr: "" });
  },
);

test("promtool would say something about a page that is not well made", async () => {
  const broken = pages(1).grpcProxy.replace(
    "# TYPE etcdproxy_waiting_calls gauge",
    "# TYPE etcdproxy_waiting_calls counter",
  );
  const checked = await runCommand([promtool, "check", "metrics"], { stdin: Buffer.from(broken) });
  expect(checked.code).not.toBe(0);
});

test.each(["grpcProxy", "gateway"] as const)(
  "the page of the %s tells the same metrics however many workers there are",
  (product) => {
    const namesOf = (workers: 1 | 2): string[] =>
      [...readExposition(pages(workers)[product]).keys()].filter(
        (name) => !name.startsWith("etcdproxy_worker_"),
      );
    expect(namesOf(2)).toEqual(namesOf(1));
  },
);

test.each(each)(
  "each metric of the %s with %d worker(s) has a help that is a sentence",
  (product, workers) => {
    const helps = [...readExposition(pages(workers)[product])].map(([name, { help }]) => `${name}: ${help}`);
    expect(helps.filter((help) => !/^\w+: [A-Z0-9].*\.$/.test(help))).toEqual([]);
  },
);
