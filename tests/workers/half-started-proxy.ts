/**
 * The program, of whose workers only the first ever starts: it is the one that makes the file named by ETCDPROXY_TEST_FIRST.
 */
import { writeFileSync } from "node:fs";
import { run } from "../../src/cli/run.ts";
import { serveAsWorker } from "../../src/cli/serve-as-worker.ts";

if (Bun.isMainThread) {
  process.exit(await run(process.argv.slice(2)));
} else if (isFirst()) {
  serveAsWorker();
} else {
  setInterval(() => {}, 60_000);
}

function isFirst(): boolean {
  try {
    writeFileSync(process.env["ETCDPROXY_TEST_FIRST"]!, "", { flag: "wx" });
    return true;
  } catch {
    return false;
  }
}
