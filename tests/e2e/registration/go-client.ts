/**
 * A program on etcd's own Go library that finds proxies (tests/etcd/naming-client). `scripts/naming-client` builds it; where
 * there is no Go the tests with it are skipped.
 */
import { join } from "node:path";
import { runCommand } from "../../harness/child-process.ts";

const script = join(import.meta.dir, "..", "..", "..", "scripts", "naming-client");
const found = Bun.spawnSync([script], { stderr: "pipe" });
const said = found.stderr.toString().trim();
if (found.exitCode !== 0 && found.exitCode !== 3) throw new Error(`scripts/naming-client failed:\n${said}`);

/** Why there is no such client on this machine; empty where there is. */
export const withoutNamingClient = found.exitCode === 3 ? said : "";

/** What a command of the client prints. @param endpoints `host:port`, or URLs, of members or proxies */
export async function namingClient(
  endpoints: readonly string[],
  prefix: string,
  ...words: string[]
): Promise<unknown> {
  const program = found.stdout.toString().trim();
  const flags = [`-endpoints=${endpoints.join(",")}`, `-prefix=${prefix}`];
  const { code, stdout, stderr } = await runCommand([program, ...flags, ...words]);
  if (code !== 0) throw new Error(`naming-client ${words.join(" ")} failed: ${stderr}`);
  return JSON.parse(stdout);
}
