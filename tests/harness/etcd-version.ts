/**
 * Which etcd the tests meet, and tests that only some etcds can pass.
 *
 * The binaries come from the folder in ETCDPROXY_TEST_ETCD_DIR (as `scripts/etcd` prints it), else from PATH.
 * A test that needs a newer etcd is reported as skipped with that reason in its name, never left out.
 */
import { test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";

/** Major, minor and patch number. */
export type Version = readonly [number, number, number];

/** The path of `etcd` or `etcdctl`. @throws Error that tells how to get it when there is none. */
export function etcdBinary(name: "etcd" | "etcdctl"): string {
  const folder = process.env["ETCDPROXY_TEST_ETCD_DIR"];
  if (folder !== undefined && folder !== "") {
    const path = join(folder, name);
    if (!existsSync(path)) throw new Error(`ETCDPROXY_TEST_ETCD_DIR=${folder} holds no ${name}`);
    return path;
  }
  const path = Bun.which(name);
  if (path === null) throw new Error(`no ${name} on PATH: run scripts/setup`);
  return path;
}

/** The first dotted version number in `text`; "3.5" reads as 3.5.0. */
export function parseVersion(text: string): Version {
  const match = /(\d+)\.(\d+)(?:\.(\d+))?/.exec(text);
  if (match === null) throw new Error(`no version number in ${JSON.stringify(text)}`);
  return [Number(match[1]), Number(match[2]), Number(match[3] ?? 0)];
}

/** Whether `version` is `minimum` or newer. */
export function isSince(version: Version, minimum: Version): boolean {
  for (let place = 0; place < 3; place++) {
    const difference = (version[place] ?? 0) - (minimum[place] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}

let known: Version | undefined;

/** The version of the etcd that the tests meet. */
export function etcdVersion(): Version {
  if (known === undefined) {
    const { stdout } = Bun.spawnSync([etcdBinary("etcd"), "--version"]);
    known = parseVersion(stdout.toString());
  }
  return known;
}

/** Why a test that needs etcd `minimum` cannot run with etcd `met`; undefined when it can. */
export function skipReason(minimum: string, met: Version): string | undefined {
  return isSince(met, parseVersion(minimum)) ? undefined : `needs etcd ${minimum}, this is ${met.join(".")}`;
}

/**
 * Registers a test that needs an etcd of at least `minimum` ("3.5", "3.6.9").
 * With an older one it is reported as skipped, with the reason in its name.
 */
export function testSince(
  minimum: string,
  name: string,
  body: () => void | Promise<void>,
  timeoutMs?: number,
): void {
  const reason = skipReason(minimum, etcdVersion());
  if (reason === undefined) test(name, body, timeoutMs);
  else test.skip(`${name} (${reason})`, body);
}
