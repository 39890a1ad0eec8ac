/**
 * The image of deploy/docker, without a container engine: its build is run by hand in a folder that holds only what the build is given,
 * and its executable in a root directory that holds only what the base image has of it.
 */
import {
  chmodSync,
  chownSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { parseCommandLine } from "../../src/cli/command-line.ts";
import { Chroot, chrootImpossible } from "../executable/chrooted-etcdproxy.ts";
import { runCommand } from "../harness/child-process.ts";
import { startEtcdCluster } from "../harness/etcd-cluster.ts";
import { etcdctl } from "../harness/etcdctl.ts";
import { executable } from "../harness/etcdproxy-process.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";
import manifest from "../../package.json";

setDefaultTimeout(240_000);

const repository = join(import.meta.dir, "..", "..");
const USER = 65_532;

interface Instruction {
  readonly name: string;
  readonly rest: string;
}

/** The instructions of the file, in their order; continued lines are one. */
function instructions(): Instruction[] {
  const text = readFileSync(join(repository, "deploy/docker/Dockerfile"), "utf8");
  const lines = text
    .replace(/^#.*\n/gm, "")
    .replaceAll("\\\n", " ")
    .split("\n");
  return lines
    .filter((line) => line.trim() !== "")
    .map((line) => {
      const [, name = "", rest = ""] = /^([A-Z]+) +(.*)$/.exec(line) ?? [];
      return { name, rest: rest.replaceAll(/\s+/g, " ") };
    });
}

class Stage {
  readonly instructions: readonly Instruction[];

  /** @param index which of the file's FROM begins it */
  constructor(index: number) {
    const all = instructions();
    const starts = all.flatMap(({ name }, at) => (name === "FROM" ? [at] : []));
    this.instructions = all.slice(starts[index], starts[index + 1]);
  }

  /** What stands behind each instruction of this name. */
  all(name: string): string[] {
    return this.instructions.filter((each) => each.name === name).map(({ rest }) => rest);
  }
}

const building = new Stage(0);
const image = new Stage(1);

/** What a COPY takes from the repository; undefined where it takes from a stage. */
function copied(rest: string): { readonly from: string[]; readonly to: string } | undefined {
  const words = rest.split(" ");
  if (words.some((word) => word.startsWith("--from="))) return undefined;
  return { from: words.slice(0, -1), to: words.at(-1) ?? "" };
}

test("the build has the Bun that package.json pins", () => {
  expect(building.all("FROM")).toEqual([`oven/bun:${manifest.devDependencies.bun}-debian AS build`]);
});

test("what is copied is there, and is not kept from the build by .dockerignore", () => {
  const allowed = readFileSync(join(repository, ".dockerignore"), "utf8")
    .split("\n")
    .filter((line) => line.startsWith("!"))
    .map((line) => line.slice(1));
  const taken = [...building.all("COPY"), ...image.all("COPY")].flatMap((rest) => copied(rest)?.from ?? []);
  expect(taken.sort()).toEqual(allowed.sort());
  expect(taken.filter((path) => !existsSync(join(repository, path)))).toEqual([]);
});

test("it runs the executable as a user without rights, and is stopped by what stops that cleanly", () => {
  expect(image.all("USER")).toEqual([`${USER}:${USER}`]);
  expect(image.all("STOPSIGNAL")).toEqual(["SIGTERM"]);
  const [entry] = JSON.parse(image.all("ENTRYPOINT")[0] ?? "") as string[];
  expect(image.all("COPY").find((rest) => rest.includes("dist/etcdproxy"))).toEndWith(` ${entry}`);
  const words = JSON.parse(image.all("CMD")[0] ?? "") as string[];
  expect(parseCommandLine(words, undefined)).toMatchObject({ command: "help", asked: true });
});

test("its labels say the version of package.json", () => {
  expect(image.all("ARG")).toContain(`VERSION="${manifest.version}"`);
});

test("the build makes the executable of what is copied, and of nothing else", async () => {
  using folder = new TemporaryFolder("image");
  const source = folder.file("src");
  mkdirSync(source);
  for (const { name, rest } of building.instructions) {
    if (name === "COPY") {
      const { from, to } = copied(rest)!;
      for (const path of from) {
        // A folder's content is copied, as docker does it.
        const isFolder = path === to;
        cpSync(join(repository, path), join(source, isFolder ? to : join(to, path.split("/").at(-1)!)), {
          recursive: true,
        });
      }
    }
    if (name === "RUN") {
      const command = rest.replace(" && mkdir /empty", "");
      const env = {
        GIT_SHA: "0123456789ab",
        PATH: `${join(repository, "node_modules/.bin")}:${process.env["PATH"]}`,
      };
      const { code, stderr } = await runCommand(["sh", "-c", command], {
        cwd: source,
        env,
        deadlineMs: 200_000,
      });
      expect({ code, stderr: code === 0 ? "" : stderr }).toEqual({ code: 0, stderr: "" });
    }
  }
  const { stdout } = await runCommand([join(source, "dist/etcdproxy"), "version"]);
  expect(stdout).toContain("Git SHA: 0123456789ab");
});

const impossible = await chrootImpossible();

describe.skipIf(impossible !== undefined)(
  `in a root like the base image's${impossible === undefined ? "" : ` (${impossible})`}`,
  () => {
    let root: Chroot;
    const [entry = ""] = JSON.parse(image.all("ENTRYPOINT")[0] ?? "") as string[];
    const [home = ""] = image.all("WORKDIR");
    beforeAll(async () => {
      root = await Chroot.create();
      for (const path of ["/usr/local/bin", "/etc", "/tmp", home])
        mkdirSync(root.path + path, { recursive: true });
      copyFileSync(executable, root.path + entry);
      chmodSync(root.path + entry, 0o755);
      chmodSync(root.path, 0o755);
      writeFileSync(
        join(root.path, "etc/passwd"),
        `nonroot:x:${USER}:${USER}:nonroot:/home/nonroot:/sbin/nologin\n`,
      );
      chownSync(root.path + home, USER, USER);
    });
    afterAll(() => root[Symbol.dispose]());

    test("the image's user serves clients with TLS of its own, which it keeps in its folder, and stops", async () => {
      await using cluster = await startEtcdCluster({ members: 1 });
      const words = ["grpc-proxy", "start", "--listen-addr=127.0.0.1:0", "--auto-tls", "--workers=2"];
      await using proxy = root.start([...words, `--endpoints=${cluster.endpoints[0]}`], {
        program: entry,
        workingFolder: home,
        user: USER,
      });
      const address = await proxy.address("started gRPC proxy");
      expect(readFileSync(`/proc/${proxy.pid}/status`, "utf8")).toMatch(new RegExp(`^Uid:\t${USER}\t`, "m"));
      const client = [`https://${address}`];
      const trusting = ["--insecure-skip-tls-verify", "--insecure-transport=false"];
      expect(await etcdctl(client, [...trusting, "put", "image", "served"])).toMatchObject({ code: 0 });
      expect((await etcdctl(client, [...trusting, "get", "image"])).stdout).toBe("image\nserved\n");
      expect(root.files().filter((path) => path.startsWith(home)).length).toBeGreaterThan(0);
      expect(await proxy.stop()).toBe(0);
    });
  },
);
