import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { renameSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { createLogger } from "../../src/observe/log.ts";
import { type Renewable, RenewalWatch } from "../../src/tls/renewal.ts";
import { filesState, readTlsFile, type TlsFile, TlsFileError } from "../../src/tls/tls-file.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";

const NEVER_MS = 2 ** 30;

let folder: TemporaryFolder;
let lines: { level: string; msg: string; error?: string; files?: string[] }[];
let watches: RenewalWatch[];

beforeEach(() => {
  folder = new TemporaryFolder("renewal");
  lines = [];
  watches = [];
});
afterEach(() => {
  for (const watch of watches) watch.close();
  folder[Symbol.dispose]();
});

/** Takes over what its two files hold, unless that is "bad" or different. */
class Pair implements Renewable {
  readonly files: readonly TlsFile[];
  readState = "";
  loads: string[] = [];

  constructor(certificate: string, key: string) {
    this.files = [
      { flag: "--cert-file", path: certificate },
      { flag: "--key-file", path: key },
    ];
    this.readState = filesState(this.files);
  }

  async load(): Promise<void> {
    const [certificate, key] = this.files.map((file) => readTlsFile(file).toString());
    if (certificate === "bad" || certificate !== key) throw new TlsFileError(this.files[0]!, "does not fit");
    this.loads.push(certificate ?? "");
  }
}

function start(): { pair: Pair; watch: RenewalWatch; write: (certificate: string, key?: string) => void } {
  const paths = [folder.file("cert"), folder.file("key")] as const;
  const write = (certificate: string, key = certificate): void => {
    writeFileSync(paths[0], certificate);
    writeFileSync(paths[1], key);
  };
  write("first");
  const pair = new Pair(...paths);
  const destination = { write: (line: string) => void lines.push(JSON.parse(line) as (typeof lines)[0]) };
  const watch = new RenewalWatch(
    [pair],
    createLogger({ level: "info", output: "json", destination }),
    NEVER_MS,
  );
  watches.push(watch);
  return { pair, watch, write };
}

describe("files that are watched", () => {
  test("are left alone while they are the same", async () => {
    const { pair, watch } = start();
    for (let look = 0; look < 3; look++) await watch.look();
    expect([pair.loads, lines]).toEqual([[], []]);
  });

  test("are read anew once a change has been the same for a look, and that is told", async () => {
    const { pair, watch, write } = start();
    write("second one");
    await watch.look();
    expect(pair.loads).toEqual([]);
    await watch.look();
    await watch.look();
    expect(pair.loads).toEqual(["second one"]);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({
      level: "info",
      msg: "read TLS files anew",
      files: [`--cert-file ${folder.file("cert")}`, `--key-file ${folder.file("key")}`],
    });
  });

  test("that change between the reading and the beginning of the watch are read anew", async () => {
    const { pair, write } = start();
    write("changed meanwhile");
    const watch = new RenewalWatch([pair], createLogger({ level: "error", output: "json" }), NEVER_MS);
    watches.push(watch);
    await watch.look();
    expect(pair.loads).toEqual(["changed meanwhile"]);
  });

  test("that are written one after the other are taken together, without an error between", async () => {
    const { pair, watch, write } = start();
    write("second", "first");
    await watch.look();
    write("second", "second");
    await watch.look();
    await watch.look();
    expect(pair.loads).toEqual(["second"]);
    expect(lines.map(({ level }) => level)).toEqual(["info"]);
  });

  test("that do not fit are told once, with flag and file, and tried again when they change", async () => {
    const { pair, watch, write } = start();
    write("bad");
    for (let look = 0; look < 4; look++) await watch.look();
    expect(pair.loads).toEqual([]);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({
      level: "error",
      msg: "TLS files cannot be used, what was loaded before stays in use",
      error: `--cert-file ${folder.file("cert")}: does not fit`,
    });
    write("good again");
    await watch.look();
    await watch.look();
    expect(pair.loads).toEqual(["good again"]);
  });

  test("that are gone for a while are told, and taken when they are back", async () => {
    const { pair, watch, write } = start();
    unlinkSync(folder.file("key"));
    await watch.look();
    await watch.look();
    expect(lines.map(({ error }) => error)).toEqual([
      `--key-file ${folder.file("key")}: there is no such file`,
    ]);
    write("back");
    await watch.look();
    await watch.look();
    expect(pair.loads).toEqual(["back"]);
  });

  test("may be replaced by renaming", async () => {
    const { pair, watch } = start();
    for (const name of ["cert", "key"]) {
      writeFileSync(folder.file(`${name}.new`), "other");
      renameSync(folder.file(`${name}.new`), folder.file(name));
    }
    await watch.look();
    await watch.look();
    expect(pair.loads).toEqual(["other"]);
  });

  test("may lie behind a symbolic link that is turned, as in a mounted secret", async () => {
    for (const version of ["v1", "v2"]) {
      writeFileSync(folder.file(`${version}-cert`), version);
      writeFileSync(folder.file(`${version}-key`), version);
    }
    for (const name of ["cert", "key"]) symlinkSync(folder.file(`v1-${name}`), folder.file(`link-${name}`));
    const pair = new Pair(folder.file("link-cert"), folder.file("link-key"));
    const watch = new RenewalWatch([pair], createLogger({ level: "error", output: "json" }), NEVER_MS);
    watches.push(watch);
    for (const name of ["cert", "key"]) {
      symlinkSync(folder.file(`v2-${name}`), folder.file("turned"));
      renameSync(folder.file("turned"), folder.file(`link-${name}`));
    }
    await watch.look();
    await watch.look();
    expect(pair.loads).toEqual(["v2"]);
  });

  test("are read at once on demand, changed or not", async () => {
    const { pair, watch, write } = start();
    await watch.reload();
    write("second");
    await watch.reload();
    expect(pair.loads).toEqual(["first", "second"]);
    await watch.look();
    await watch.look();
    expect(pair.loads).toEqual(["first", "second"]);
  });

  test("of one kind do not keep those of another from being read", async () => {
    const { watch: _watch } = start();
    const broken = new Pair(folder.file("absent"), folder.file("absent"));
    const fine = new Pair(folder.file("cert"), folder.file("key"));
    const destination = { write: (line: string) => void lines.push(JSON.parse(line) as (typeof lines)[0]) };
    const watch = new RenewalWatch(
      [broken, fine],
      createLogger({ level: "info", output: "json", destination }),
      NEVER_MS,
    );
    watches.push(watch);
    await watch.reload();
    expect(fine.loads).toEqual(["first"]);
    expect(lines.map(({ level }) => level)).toEqual(["error", "info"]);
  });
});
