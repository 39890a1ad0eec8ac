/** Pages as they are asked for: by method, path and query, once for many, and for readers who go away. */
import { describe, expect, test } from "bun:test";
import {
  keptFor,
  madeOnce,
  type MakePage,
  type Page,
  type PageRequest,
  servePage,
  textPage,
} from "../../src/observe/page.ts";

const text = ({ body }: Page): string => new TextDecoder().decode(body);

describe("a page", () => {
  const serve =
    (path: string): MakePage =>
    () =>
      Promise.resolve(textPage(200, path));

  test("is found by its path without the query", async () => {
    expect(text(await servePage(serve, "GET", "/metrics?a=/b"))).toBe("/metrics");
  });

  test("is told its path and the query", async () => {
    const asked: PageRequest[] = [];
    const make: MakePage = (request) => {
      asked.push(request);
      return Promise.resolve(textPage(200, ""));
    };
    for (const target of ["/a?x=1&x=%32&y", "/a", "/a?"]) await servePage(() => make, "GET", target);
    expect(asked.map(({ path, query }) => [path, query.getAll("x"), query.get("y")])).toEqual([
      ["/a", ["1", "2"], ""],
      ["/a", [], null],
      ["/a", [], null],
    ]);
  });

  test.each(["POST", "PUT", "DELETE", "OPTIONS"])("is not served to %s, and says to what", async (method) => {
    const page = await servePage(serve, method, "/health");
    expect([page.status, page.headers]).toEqual([405, { allow: "GET, HEAD" }]);
  });

  test("that fails is a 500 with the reason", async () => {
    const page = await servePage(() => () => Promise.reject(new Error("broken")), "GET", "/");
    expect([page.status, text(page)]).toEqual([500, "etcdproxy: broken\n"]);
  });

  test("is waited for by nobody once it is made, unless its reader says otherwise", async () => {
    let signal: AbortSignal | undefined;
    const make: MakePage = (request) => {
      expect(request.signal.aborted).toBe(false);
      signal = request.signal;
      return Promise.resolve(textPage(200, ""));
    };
    await servePage(() => make, "GET", "/");
    expect(signal?.aborted).toBe(true);
    const reader = new AbortController();
    await servePage(
      () => make,
      "GET",
      "/",
      () => reader.signal,
    );
    expect(signal?.aborted).toBe(false);
    reader.abort();
    expect(signal?.aborted).toBe(true);
  });
});

test("a page made once is made again for who asks later, and after a failure", async () => {
  let made = 0;
  const make = madeOnce(async () => {
    await Promise.resolve();
    if (++made === 1) throw new Error("broken");
    return textPage(200, String(made));
  });
  const first = await Promise.allSettled([make(), make()]);
  expect(first.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  expect((await Promise.all([make(), make()])).map(text)).toEqual(["2", "2"]);
  expect(text(await make())).toBe("3");
});

describe("a page that is kept", () => {
  const counting = (status: number): (() => Promise<Page>) => {
    let made = 0;
    return () => Promise.resolve(textPage(status, String(++made)));
  };

  test("is made again when its time is over", async () => {
    const long = keptFor(3_600_000, counting(200));
    expect([text(await long()), text(await long())]).toEqual(["1", "1"]);
    const short = keptFor(0, counting(200));
    expect([text(await short()), text(await short())]).toEqual(["1", "2"]);
  });

  test("is not kept when it tells of a failure", async () => {
    const failing = keptFor(3_600_000, counting(502));
    expect([text(await failing()), text(await failing())]).toEqual(["1", "2"]);
  });
});
