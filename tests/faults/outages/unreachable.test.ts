/**
 * A member behind a network that loses every packet, as no relay on loopback can: no reset, no answer to a SYN. The same
 * promise, in network namespaces of the test's own.
 */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { runCommand } from "../../harness/child-process.ts";
import { ensureBuilt } from "../../harness/etcdproxy-process.ts";
import { PRODUCTS } from "./contenders.ts";
import { inPrivateNetwork, whyNoPrivateNetwork } from "./private-network.ts";

const TIMEOUT_MS = 180_000;

const refused = await whyNoPrivateNetwork();
const reason = refused === undefined ? "" : ` (${refused})`;

test.skipIf(refused !== undefined).each(PRODUCTS)(
  `clients of the %s get on when its member cannot be reached, and lose nothing${reason}`,
  async (product) => {
    await ensureBuilt();
    const program = [process.execPath, join(import.meta.dir, "measure-outages.ts")];
    const options = ["--maker=etcdproxy", `--product=${product}`, "--only=unreachable"];
    const { command, env } = inPrivateNetwork([...program, ...options]);
    const { code, stderr } = await runCommand(command, { env, deadlineMs: TIMEOUT_MS - 10_000 });
    expect(code, stderr).toBe(0);
  },
  TIMEOUT_MS,
);
