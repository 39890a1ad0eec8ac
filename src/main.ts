/**
 * The entry point of the executable: hands the command line to the program and ends with its exit status. The workers of
 * `--workers` are threads that begin here, too.
 */
import { run } from "./cli/run.ts";

if (Bun.isMainThread) {
  // The exit is explicit: sockets that are still closing must not keep a stopped proxy alive.
  process.exit(await run(process.argv.slice(2)));
} else {
  const { serveAsWorker } = await import("./cli/serve-as-worker.ts");
  serveAsWorker();
}
