import { describe, expect, spyOn, test } from "bun:test";
import { atEndOfTurn } from "../../src/grpc/end-of-turn.ts";

/** Work that writes its name down and then does something more. */
function work(name: string, done: string[], then: () => void = () => {}): { onEndOfTurn: () => void } {
  return {
    onEndOfTurn() {
      done.push(name);
      then();
    },
  };
}

/** Writes `turn` down at the end of the event loop's next turn, behind the work that was put off before. */
function turnEnds(done: string[]): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(() => {
      done.push("turn");
      resolve();
    });
  });
}

describe("work put off to the end of the turn", () => {
  test("does not run before, and then in the order in which it was put off", async () => {
    const done: string[] = [];
    for (const name of ["first", "second", "third"]) atEndOfTurn(work(name, done));
    await Promise.resolve();
    expect(done).toEqual([]);
    await turnEnds(done);
    expect(done).toEqual(["first", "second", "third", "turn"]);
  });

  test("runs once", async () => {
    const done: string[] = [];
    atEndOfTurn(work("once", done));
    await turnEnds(done);
    await turnEnds(done);
    expect(done).toEqual(["once", "turn", "turn"]);
  });

  test("by such work runs in the same turn, behind all that waited already", async () => {
    const done: string[] = [];
    atEndOfTurn(work("first", done, () => atEndOfTurn(work("put off", done))));
    atEndOfTurn(work("second", done));
    await turnEnds(done);
    expect(done).toEqual(["first", "second", "put off", "turn"]);
  });

  test("again and again has three passes in a turn, and the next ones in the next", async () => {
    const done: string[] = [];
    let left = 7;
    const again = work("pass", done, () => {
      if (--left > 0) atEndOfTurn(again);
    });
    atEndOfTurn(again);
    for (let turn = 1; turn <= 4; turn++) await turnEnds(done);
    const passes = done.join(" ").split("turn");
    expect(passes.map((turn) => turn.trim().split(" ").filter(Boolean).length)).toEqual([3, 3, 1, 0, 0]);
  });

  test("runs when the work before it throws, and the error is nobody's to catch", async () => {
    const done: string[] = [];
    const fault = new Error("a socket's trouble");
    const thrown: (() => void)[] = [];
    const microtasks = spyOn(globalThis, "queueMicrotask").mockImplementation((task) => {
      thrown.push(task);
    });
    try {
      atEndOfTurn(
        work("throws", done, () => {
          throw fault;
        }),
      );
      atEndOfTurn(work("behind it", done));
      await turnEnds(done);
    } finally {
      microtasks.mockRestore();
    }
    expect(done).toEqual(["throws", "behind it", "turn"]);
    expect(thrown).toHaveLength(1);
    expect(thrown[0]!).toThrow(fault);
  });

  test("runs after a turn whose work threw", async () => {
    const done: string[] = [];
    const microtasks = spyOn(globalThis, "queueMicrotask").mockImplementation(() => {});
    try {
      atEndOfTurn(
        work("throws", done, () => {
          throw new Error("a socket's trouble");
        }),
      );
      await turnEnds(done);
    } finally {
      microtasks.mockRestore();
    }
    atEndOfTurn(work("later", done));
    await turnEnds(done);
    expect(done).toEqual(["throws", "turn", "later", "turn"]);
  });
});
