/** A worker for tests of the pool: it does what it is asked, and dies if that is asked. */
import { conversationWithMain } from "../../src/workers/worker-side.ts";

/** What the first question says. */
export interface TestOrder {
  readonly worker: number;
  readonly first: string | null;
  /** It refuses or dies instead of starting, dies right behind it, takes its time, or for ever. */
  readonly fail?: "refuse" | "die" | "die afterwards" | "be slow" | "never" | undefined;
}

export type TestQuestion =
  | { readonly ask: "start"; readonly order: TestOrder }
  | { readonly ask: "name" | "hang" | "loop" | "sleep" | "throw" | "exit" | "close" | "ask back" };

const SLOW_MS = 300;
/** Cannot be interrupted. */
const SLEEP_MS = 8_000;

class OperatorError extends Error {
  readonly line = "etcdproxy: what the operator is to do";
}

if (!Bun.isMainThread) {
  let name = "";
  const main = conversationWithMain(async (asked) => {
    const question = asked as TestQuestion;
    switch (question.ask) {
      case "start": {
        const { worker, first, fail } = question.order;
        if (fail === "refuse") throw new OperatorError("refused");
        if (fail === "die") process.exit(3);
        if (fail === "die afterwards") setTimeout(() => process.exit(3), 0);
        if (fail === "never") await new Promise(() => {});
        if (fail === "be slow") await Bun.sleep(SLOW_MS);
        name = `worker ${worker}, after ${first}`;
        return name;
      }
      case "throw":
        setTimeout(() => {
          throw new Error("thrown in a worker");
        }, 0);
        return null;
      case "exit":
        return process.exit(3);
      case "hang":
        return await new Promise(() => {});
      case "loop":
        for (;;);
      case "sleep":
        Bun.sleepSync(SLEEP_MS);
        return null;
      case "ask back":
        return await main.ask("who am I?");
      case "name":
      case "close":
        return name;
    }
  });
}
