/** What the compiled file needs of the system it runs on, as the README promises it. */
import { beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { ensureBuilt, executable } from "../harness/etcdproxy-process.ts";
import { dynamicDependencies, type DynamicDependencies } from "./dynamic-section.ts";

let needs: DynamicDependencies;
beforeAll(async () => {
  await ensureBuilt();
  needs = await dynamicDependencies(executable);
});

/** [2, 17] of `GLIBC_2.17`. */
function numbers(version: string): [major: number, minor: number] {
  const match = /^GLIBC_(\d+)\.(\d+)/.exec(version);
  if (match === null) throw new Error(`${version} is no version of glibc`);
  return [Number(match[1]), Number(match[2])];
}

describe("the compiled file", () => {
  test("needs no library but those of glibc", () => {
    const loader = /^ld-linux-(x86-64|aarch64)\.so\.\d$/;
    const libraries = needs.libraries.filter((library) => !loader.test(library)).sort();
    expect(libraries).toEqual(["libc.so.6", "libdl.so.2", "libm.so.6", "libpthread.so.0"]);
  });

  test("runs on every glibc since the one that the README names", async () => {
    const [newest = [0, 0]] = needs.symbolVersions
      .map(numbers)
      .sort((left, right) => right[0] - left[0] || right[1] - left[1]);
    const readme = await Bun.file(join(import.meta.dir, "..", "..", "README.md")).text();
    expect([...readme.matchAll(/glibc (\d+\.\d+)/g)].map(([, version]) => version)).toContain(
      newest.join("."),
    );
    expect(new Set([...readme.matchAll(/glibc (\d+\.\d+)/g)].map(([, version]) => version)).size).toBe(1);
  });
});
