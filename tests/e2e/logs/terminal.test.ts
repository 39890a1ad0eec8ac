/** The log on a terminal: for people, and in colours unless somebody does not want them. */
import { beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { ensureBuilt, executable } from "../../harness/etcdproxy-process.ts";
import { runCommand } from "../../harness/child-process.ts";

setDefaultTimeout(60_000);
beforeAll(ensureBuilt, 120_000);

const COLOUR = "\u001b[";

/** What a gateway that is stopped as soon as it is ready writes to a terminal. */
async function onTerminal(flags: string, env: Record<string, string | undefined>): Promise<string> {
  const command = `timeout --signal=TERM 2 ${executable} gateway --listen-addr=127.0.0.1:0 --endpoints=127.0.0.1:1 ${flags}`;
  const { stdout } = await runCommand(["script", "--quiet", "--command", command, "/dev/null"], {
    env: { NO_COLOR: undefined, TERM: "xterm", ...env },
  });
  return stdout;
}

test("is readable, with colours", async () => {
  const text = await onTerminal("", {});
  expect(text).toContain(COLOUR);
  expect(text).toContain("[gateway] ready to proxy client requests");
  expect(text).not.toContain('"msg"');
});

test.each([{ NO_COLOR: "1" }, { TERM: "dumb" }])("is readable, without colours, with %p", async (env) => {
  const text = await onTerminal("", env);
  expect(text).not.toContain(COLOUR);
  expect(text).toContain("INFO: [gateway] ready to proxy client requests");
});

test("is JSON where that is asked for", async () => {
  const text = await onTerminal("--log-format=json", {});
  expect(text).toContain('"msg":"ready to proxy client requests"');
  expect(text).not.toContain(COLOUR);
});
