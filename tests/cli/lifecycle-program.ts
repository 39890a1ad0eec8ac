/**
 * A stand-in product under the real lifecycle, for lifecycle.test.ts: what it does is said by its first argument.
 */
import { serveUntilSignal } from "../../src/cli/lifecycle.ts";
import { createLogger } from "../../src/observe/log.ts";

const log = createLogger({ level: "info", output: "json" });
const behaviour = process.argv[2];

if (behaviour === "closes-never") {
  await serveUntilSignal(async () => {
    log.info("ready");
    return { close: () => Promise.withResolvers<void>().promise };
  }, log);
}

if (behaviour === "starts-never") {
  const starting = serveUntilSignal(() => Promise.withResolvers<never>().promise, log);
  setInterval(() => undefined, 60_000);
  log.info("starting");
  await starting;
}

if (behaviour === "throws") {
  await serveUntilSignal(async () => {
    setTimeout(() => {
      throw new Error("nobody caught this");
    }, 0);
    void Promise.reject(new Error("nor that"));
    for (let count = 0; count < 100; count++) {
      setTimeout(() => {
        throw new Error("again and again");
      }, 0);
    }
    setTimeout(() => log.info("still alive"), 1);
    const alive = setInterval(() => undefined, 60_000);
    return { close: async () => clearInterval(alive) };
  }, log);
}

process.exit(0);
