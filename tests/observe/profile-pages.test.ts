/** The pages under `/debug/pprof/`: what tools can open, one at a time, and never for longer than somebody waits. */
import { describe, expect, test } from "bun:test";
import { type Page, servePage } from "../../src/observe/page.ts";
import { ProfilePages, type ProfilePagesOptions } from "../../src/observe/profile-pages.ts";
import { checkCpuProfile, checkHeapSnapshot } from "./profile-formats.ts";

const text = ({ body }: Page): string => new TextDecoder().decode(body);

function profiles(options: Partial<ProfilePagesOptions> = {}): ProfilePages {
  return new ProfilePages({ commandLine: ["etcdproxy"], ...options });
}

/** A reader who can go away. */
function ask({ pages }: ProfilePages, target: string): { page: Promise<Page>; leave: () => void } {
  const reader = new AbortController();
  const page = servePage(pages, "GET", `/debug/pprof${target}`, () => reader.signal);
  return { page, leave: () => reader.abort() };
}

describe("/debug/pprof/profile", () => {
  test("is what Chrome's tools open, and names what took the time", async () => {
    const { page } = ask(profiles(), "/profile?seconds=0.5");
    await Promise.resolve();
    const busy = setInterval(burnSomeTime, 20);
    const { status, contentType, headers, body } = await page;
    clearInterval(busy);
    expect([status, contentType, headers]).toEqual([
      200,
      "application/json",
      { "content-disposition": 'attachment; filename="etcdproxy-cpu.cpuprofile"' },
    ]);
    expect(checkCpuProfile(body)).toContain("burnSomeTime");
  });

  test.each(["0", "61", "-1", "x", "1e9", "", "60.1"])("is not to be had for %p seconds", async (seconds) => {
    const { status } = await ask(profiles(), `/profile?seconds=${seconds}`).page;
    expect(status).toBe(400);
  });

  test("of a process that rests says that it does", async () => {
    const { page } = ask(profiles(), "/profile?seconds=0.5");
    expect(checkCpuProfile((await page).body)).toContain("(idle)");
  });

  test("is whole for who comes next, whenever the reader before leaves", async () => {
    const all = profiles();
    for (let steps = 0; steps < 5; steps++) {
      const first = ask(all, "/profile?seconds=30");
      for (let step = 0; step < steps; step++) await Promise.resolve();
      first.leave();
      const next = ask(all, "/profile?seconds=0.1");
      expect([(await first.page).status, (await next.page).status]).toEqual([200, 200]);
      checkCpuProfile((await next.page).body);
      next.leave();
    }
  });

  test("is one at a time, until its reader has it", async () => {
    const all = profiles();
    const first = ask(all, "/profile?seconds=0.1");
    for (const other of ["/profile?seconds=0.1", "/heap"]) {
      const { status, body } = await ask(all, other).page;
      expect([status, new TextDecoder().decode(body)]).toEqual([
        409,
        "another profile or snapshot is under way: ask again when that is over\n",
      ]);
    }
    expect((await first.page).status).toBe(200);
    expect((await ask(all, "/heap").page).status).toBe(409);
    first.leave();
    expect((await ask(all, "/profile?seconds=0.1").page).status).toBe(200);
  });

  test("ends when its reader goes, and the next one is free", async () => {
    const all = profiles();
    const first = ask(all, "/profile?seconds=60");
    first.leave();
    checkCpuProfile((await first.page).body);
    expect((await ask(all, "/profile?seconds=0.1").page).status).toBe(200);
  });

  test("ends when the product stops", async () => {
    const all = profiles();
    const first = ask(all, "/profile?seconds=60");
    all.stop();
    checkCpuProfile((await first.page).body);
  });
});

/** Known by its name in a profile. */
function burnSomeTime(): number {
  const untilMs = performance.now() + 15;
  let sum = 0;
  while (performance.now() < untilMs) sum += Math.sqrt(sum + 1);
  return sum;
}

describe("/debug/pprof/heap", () => {
  test("is a snapshot that Chrome's tools open", async () => {
    const { status, headers, body } = await ask(profiles(), "/heap").page;
    expect([status, headers]).toEqual([
      200,
      { "content-disposition": 'attachment; filename="etcdproxy-heap.heapsnapshot"' },
    ]);
    checkHeapSnapshot(body);
  });

  test("is one of the engine's own format when asked so", async () => {
    const { status, body } = await ask(profiles(), "/heap?format=jsc").page;
    expect(status).toBe(200);
    const snapshot = JSON.parse(new TextDecoder().decode(body)) as { type: string; nodes: number[] };
    expect(snapshot.type).toBe("Inspector");
    expect(snapshot.nodes.length).toBeGreaterThan(1000);
  });

  test("has no other format", async () => {
    expect((await ask(profiles(), "/heap?format=pprof").page).status).toBe(400);
  });
});

describe("the other pages of Go programs", () => {
  test("/debug/pprof leads to the list", async () => {
    const page = await ask(profiles(), "").page;
    expect([page.status, page.headers]).toEqual([301, { location: "/debug/pprof/" }]);
    const list = await ask(profiles(), "/").page;
    expect([list.status, list.contentType]).toEqual([200, "text/html; charset=utf-8"]);
    for (const name of ["profile?seconds=10", "heap", "cmdline"]) {
      expect(text(list)).toContain(`href="${name}"`);
    }
  });

  test("cmdline is words with zeros between them, and hides what stands before a host", async () => {
    const commandLine = ["etcdproxy", "start", "--endpoints=https://me:secret@a:1,http://b:2", "http://u@c"];
    const { page } = ask(profiles({ commandLine }), "/cmdline");
    expect(text(await page).split("\0")).toEqual([
      "etcdproxy",
      "start",
      "--endpoints=https://[hidden]@a:1,http://b:2",
      "http://[hidden]@c",
    ]);
  });

  test.each(["goroutine", "allocs", "trace", "symbol", "mutex"])(
    "%s is not there, and what is there is told",
    async (name) => {
      const page = await ask(profiles(), `/${name}`).page;
      expect([page.status, text(page)]).toEqual([
        404,
        expect.stringContaining("there are profile, heap and cmdline"),
      ]);
    },
  );
});

describe("of several workers", () => {
  test("a worker tells of itself, and refuses to tell of another", async () => {
    const all = profiles({ worker: 1 });
    const { status, headers } = await ask(all, "/heap?worker=1").page;
    expect([status, headers?.["content-disposition"]]).toEqual([
      200,
      'attachment; filename="etcdproxy-worker1-heap.heapsnapshot"',
    ]);
    const other = await ask(all, "/heap?worker=0").page;
    expect([other.status, text(other)]).toEqual([400, expect.stringContaining("this is worker 1")]);
    expect((await ask(profiles(), "/profile?worker=0").page).status).toBe(400);
  });
});
