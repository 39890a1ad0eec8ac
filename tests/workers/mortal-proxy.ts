/**
 * The program, whose workers can be made to die: one does when the file named by ETCDPROXY_TEST_DEATH is there, and takes
 * that with it. Threads cannot be killed from outside.
 */
import { unlinkSync } from "node:fs";
import { run } from "../../src/cli/run.ts";
import { serveAsWorker } from "../../src/cli/serve-as-worker.ts";

const LOOK_MS = 20;

if (Bun.isMainThread) {
  process.exit(await run(process.argv.slice(2)));
} else {
  serveAsWorker();
  setInterval(() => {
    try {
      unlinkSync(process.env["ETCDPROXY_TEST_DEATH"]!);
    } catch {
      return;
    }
    process.exit(7);
  }, LOOK_MS);
}
