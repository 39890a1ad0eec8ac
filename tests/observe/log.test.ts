import { describe, expect, test } from "bun:test";
import { createLogger, type Logger, type LoggerOptions } from "../../src/observe/log.ts";

const now = (): Date => new Date("2026-11-22T02:10:00.000Z");

function collect(options: Partial<LoggerOptions> = {}): { log: Logger; lines: string[] } {
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  return { log: createLogger({ level: "info", output: "json", now, destination, ...options }), lines };
}

describe("a JSON log line", () => {
  test("has level, ts, caller and msg, then the fields, as etcd's own log does", () => {
    const { log, lines } = collect();
    log.child("grpc-proxy").info("started gRPC proxy", { address: "127.0.0.1:23790" });
    expect(lines).toEqual([
      '{"level":"info","ts":"2026-11-22T02:10:00.000Z","caller":"grpc-proxy","msg":"started gRPC proxy","address":"127.0.0.1:23790"}\n',
    ]);
  });

  test("tells which worker wrote it, where there are several", () => {
    const { log, lines } = collect({ worker: 2 });
    log.child("grpc-proxy").info("connected", { endpoint: "a:1" });
    expect(lines[0]).toEndWith('"caller":"grpc-proxy","msg":"connected","worker":2,"endpoint":"a:1"}\n');
  });

  test("keeps the fields in their order and their types", () => {
    const { log, lines } = collect();
    log.warn("w", {
      z: 1,
      a: true,
      list: ["x", "y"],
      big: 12n,
      nothing: null,
      left: undefined,
      nested: { b: 2 },
    });
    expect(lines[0]).toEndWith(
      '"msg":"w","z":1,"a":true,"list":["x","y"],"big":12,"nothing":null,"nested":{"b":2}}\n',
    );
  });

  test("carries the program's name as the caller until a part takes its own", () => {
    const { log, lines } = collect();
    log.info("one");
    log.child("gateway").child("upstream").info("two");
    expect(lines.map((line) => (JSON.parse(line) as { caller: string }).caller)).toEqual([
      "etcdproxy",
      "upstream",
    ]);
  });

  test("shows an error by its message, or its name when it has none", () => {
    const { log, lines } = collect();
    log.error("e", {
      error: new Error("refused"),
      err: new RangeError(""),
      errors: [new Error("a"), new Error("b")],
    });
    expect(lines[0]).toEndWith('"msg":"e","error":"refused","err":"RangeError","errors":["a","b"]}\n');
  });

  test("stays one line whatever a peer puts into a field", () => {
    const { log, lines } = collect();
    log.info("m", { peer: 'a\n{"level":"error"}\r\u001b[2J', "key\n": 1 });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^\P{Cc}*\n$/u);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({ peer: 'a\n{"level":"error"}\r\u001b[2J', "key\n": 1 });
  });

  test("cannot have its level, time, caller or message replaced by a field", () => {
    const { log, lines } = collect();
    log.info("m", { level: "error", ts: "never", caller: "x", msg: "y" });
    expect(lines).toEqual([
      '{"level":"info","ts":"2026-11-22T02:10:00.000Z","caller":"etcdproxy","msg":"m","level_":"error","ts_":"never","caller_":"x","msg_":"y"}\n',
    ]);
  });

  test("takes percent signs in a message as they are", () => {
    const { log, lines } = collect();
    log.info("100 %s %d %j", { a: 1 });
    expect(lines[0]).toContain('"msg":"100 %s %d %j","a":1}');
  });

  test("leaves out what cannot be shown rather than throwing", () => {
    const { log, lines } = collect();
    const circle: Record<string, unknown> = {};
    circle["self"] = circle;
    log.info("circle", { circle });
    log.info("getter", {
      get broken(): string {
        throw new Error("no");
      },
    });
    log.info("json", {
      odd: {
        toJSON: () => {
          throw new Error("no");
        },
      },
      method: () => 1,
    });
    log.info("after");
    expect(lines[0]).toContain('"circle":{"self":"[Circular]"}');
    expect(lines.at(-1)).toContain('"msg":"after"');
  });

  test("does not fail the caller when its destination does", () => {
    const log = createLogger({
      level: "info",
      output: "json",
      destination: {
        write: () => {
          throw new Error("full");
        },
      },
    });
    expect(() => log.info("m")).not.toThrow();
  });
});

describe("levels", () => {
  test.each([
    ["debug", ["debug", "info", "warn", "error"]],
    ["info", ["info", "warn", "error"]],
    ["warn", ["warn", "error"]],
    ["error", ["error"]],
  ] as const)("at %s, the lines written are %p", (level, expected) => {
    const { log, lines } = collect({ level });
    log.debug("m");
    log.info("m");
    log.warn("m");
    log.error("m");
    expect(lines.map((line) => (JSON.parse(line) as { level: string }).level)).toEqual([...expected]);
  });

  test("debugEnabled tells whether debug lines are written, for children as well", () => {
    expect(collect({ level: "debug" }).log.child("a").debugEnabled).toBe(true);
    expect(collect({ level: "info" }).log.child("a").debugEnabled).toBe(false);
  });
});

describe("a readable log line", () => {
  test("has time, level, caller, message and the fields on one line", () => {
    const { log, lines } = collect({ output: "readable" });
    log
      .child("gateway")
      .info("ready to proxy client requests", { address: "[::1]:1", endpoints: ["a:1", "b:2"] });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^\[\d\d:\d\d:\d\d\.000\] INFO: \[gateway\] ready to proxy client requests /);
    expect(lines[0]).toEndWith(' {"address":"[::1]:1","endpoints":["a:1","b:2"]}\n');
  });

  test("shows an error by its message", () => {
    const { log, lines } = collect({ output: "readable" });
    log.error("failed", { error: new Error("refused") });
    expect(lines.join("")).toEndWith('ERROR: [etcdproxy] failed {"error":"refused"}\n');
  });

  test("never moves the terminal's cursor", () => {
    const { log, lines } = collect({ output: "readable" });
    log.info("m\u001b[2J\n", { peer: "\u001b[2J\n", list: ["\u0007"] });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^\P{Cc}*\n$/u);
  });
});
