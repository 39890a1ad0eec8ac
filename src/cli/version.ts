/**
 * What `etcdproxy version` prints: the program's version, what it was built from, and the runtime inside it,
 * in the lines that `etcd --version` has.
 */
import packageJson from "../../package.json" with { type: "json" };

/** Set by the build (`--define`) to the commit that the executable was built from. */
declare const ETCDPROXY_GIT_SHA: string | undefined;

/** Set by the build to the day of that commit, as 2026-11-26. */
declare const ETCDPROXY_COMMIT_DATE: string | undefined;

/** The version in package.json: `0.1.0`. */
export const version: string = packageJson.version;

/** The commit of the build, or `not built from git` when run from sources. */
export const gitSha: string =
  typeof ETCDPROXY_GIT_SHA === "string" && ETCDPROXY_GIT_SHA !== ""
    ? ETCDPROXY_GIT_SHA
    : "not built from git";

/** The day of that commit, so that builds of it are the same; today when run from sources. */
export const buildDate: string =
  typeof ETCDPROXY_COMMIT_DATE === "string" && ETCDPROXY_COMMIT_DATE !== ""
    ? ETCDPROXY_COMMIT_DATE
    : new Date().toISOString().slice(0, 10);

/** Four lines, each `name: value`, ending in a newline. */
export function versionText(): string {
  return [
    `etcdproxy Version: ${version}`,
    `Git SHA: ${gitSha}`,
    `Bun Version: ${Bun.version}`,
    `Bun OS/Arch: ${process.platform}/${process.arch}`,
    "",
  ].join("\n");
}
