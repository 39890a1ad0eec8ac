/** `/livez` and `/readyz`: the form of etcd's members, which probes and people read. */
import { describe, expect, test } from "bun:test";
import { type Check, checkPages, checksOfAll } from "../../src/observe/check-pages.ts";
import { type Page, servePage, textPage } from "../../src/observe/page.ts";

const text = ({ body }: Page): string => new TextDecoder().decode(body);

const well = (name: string): Check => ({ name, problem: () => "" });
const ill = (name: string, reason: string): Check => ({ name, problem: () => Promise.resolve(reason) });

async function ask(checks: readonly Check[], target: string): Promise<[number, string]> {
  const page = await servePage(checkPages("/readyz", checks), "GET", target);
  return [page.status, text(page)];
}

describe("checks that pass", () => {
  const checks = [well("first"), well("second")];

  test("are told in one word", async () => {
    expect(await ask(checks, "/readyz")).toEqual([200, "ok\n"]);
  });

  test("are named one by one when asked so", async () => {
    const verbose = "[+]first ok\n[+]second ok\nok\n";
    expect(await ask(checks, "/readyz?verbose")).toEqual([200, verbose]);
    expect(await ask(checks, "/readyz?verbose=1")).toEqual([200, verbose]);
  });

  test("are left out by name, and a name that there is not leaves out none", async () => {
    expect(await ask(checks, "/readyz?verbose&exclude=first")).toEqual([200, "[+]second ok\nok\n"]);
    expect(await ask(checks, "/readyz?exclude=first&exclude=second&verbose")).toEqual([200, "ok\n"]);
    expect(await ask(checks, "/readyz?verbose&exclude=third")).toEqual([
      200,
      "[+]first ok\n[+]second ok\nok\n",
    ]);
  });

  test("have pages of their own", async () => {
    expect(await ask(checks, "/readyz/second")).toEqual([200, "ok\n"]);
    expect(await ask(checks, "/readyz/second?verbose")).toEqual([200, "[+]second ok\nok\n"]);
    for (const path of ["/readyz/third", "/readyz/", "/readyzz"]) {
      expect((await ask(checks, path))[0]).toBe(404);
    }
  });
});

describe("a check that fails", () => {
  const checks = [well("first"), ill("second", "it is\n broken")];

  test("fails the page, which says why without being asked", async () => {
    const told = "[+]first ok\n[-]second failed: it is; broken\n\n";
    expect(await ask(checks, "/readyz")).toEqual([503, told]);
    expect(await ask(checks, "/readyz?verbose")).toEqual([503, told]);
    expect(await ask(checks, "/readyz/second")).toEqual([503, "[-]second failed: it is; broken\n\n"]);
  });

  test("fails nothing else", async () => {
    expect(await ask(checks, "/readyz/first")).toEqual([200, "ok\n"]);
    expect(await ask(checks, "/readyz?exclude=second")).toEqual([200, "ok\n"]);
  });

  test("may do so by an error", async () => {
    const throwing: Check = {
      name: "third",
      problem() {
        throw new Error("it threw");
      },
    };
    expect(await ask([throwing], "/readyz")).toEqual([503, "[-]third failed: it threw\n\n"]);
  });
});

describe("checks of several workers", () => {
  const passed = textPage(200, "[+]first ok\n[+]second ok\nok\n");
  const failed = textPage(503, "[+]first ok\n[-]second failed: it is broken\n\n");
  const told = (pages: readonly (Page | null)[], verbose = false): [number, string] => {
    const page = checksOfAll(pages, verbose);
    return [page.status, text(page)];
  };

  test("pass where all pass", () => {
    expect(told([passed, passed])).toEqual([200, "ok\n"]);
    expect(told([passed, passed], true)).toEqual([200, "[+]first ok\n[+]second ok\nok\n"]);
  });

  test("fail where one fails, which is named", () => {
    expect(told([passed, failed])).toEqual([
      503,
      "[+]first ok\n[-]second failed: worker 1: it is broken\n\n",
    ]);
  });

  test("fail where one does not answer", () => {
    expect(told([null, passed])).toEqual([
      503,
      "[-]workers failed: worker 0 does not answer\n[+]first ok\n[+]second ok\n\n",
    ]);
  });

  test("are not there where no worker has them", () => {
    expect(told([textPage(404, "nothing\n"), textPage(404, "nothing\n")])).toEqual([404, "nothing\n"]);
  });
});
