/**
 * The program, whose workers can be made to die: one does when the file named by ETCDPROXY_TEST_DEATH is there, and takes
 * that with it; if the file says "hang", it goes round in a loop instead. Threads cannot be killed from outside.
 */
import { readFileSync, unlinkSync } from "node:fs";
import { run } from "../../src/cli/run.ts";
import { serveAsWorker } from "../../src/cli/serve-as-worker.ts";

const LOOK_MS = 20;

if (Bun.isMainThread) {
  process.exit(await run(process.argv.slice(2)));
} else {
  serveAsWorker();
  setInterval(() => {
    let how: string;
    try {
      how = readFileSync(process.env["ETCDPROXY_TEST_DEATH"]!, "utf8");
      unlinkSync(process.env["ETCDPROXY_TEST_DEATH"]!);
    } catch {
      return;
    }
    if (how === "hang") for (;;);
    process.exit(7);
  }, LOOK_MS);
}
