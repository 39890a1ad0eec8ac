/**
 * The style guide as a test: imports point down only, the engine stays pure, files stay small and say what they
 * are. It reads the sources; it runs nothing of them.
 */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";

const repository = join(import.meta.dir, "..");
const LINES_MAX = 500;

/** What each folder of src/ may import besides itself. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  gen: [],
  base: [],
  hpack: ["base"],
  http2: ["hpack", "base"],
  net: ["base"],
  endpoints: ["net", "base"],
  observe: ["net", "base"],
  tls: ["net", "observe", "base"],
  grpc: ["http2", "hpack", "net", "endpoints", "base", "gen"],
  etcd: ["grpc", "hpack", "gen", "base"],
  proxy: ["etcd", "grpc", "http2", "hpack", "endpoints", "tls", "net", "observe", "gen", "base"],
  gateway: ["endpoints", "net", "observe", "base"],
  workers: ["observe", "base"],
  cli: [
    "workers",
    "gateway",
    "proxy",
    "etcd",
    "grpc",
    "http2",
    "hpack",
    "endpoints",
    "tls",
    "net",
    "observe",
    "gen",
    "base",
  ],
  main: ["cli"],
};
/** Folders that take bytes and `now`, and give bytes and events. */
const pureLayers = ["hpack", "http2"];

interface SourceFile {
  /** Path from the root of the repository. */
  readonly path: string;
  readonly text: string;
}

async function sourcesUnder(folder: string): Promise<SourceFile[]> {
  const paths = [...new Bun.Glob("**/*.ts").scanSync({ cwd: join(repository, folder) })].sort();
  return Promise.all(
    paths.map(async (path) => {
      const fromRoot = `${folder}/${path}`;
      return { path: fromRoot, text: await Bun.file(join(repository, fromRoot)).text() };
    }),
  );
}

const sources = await sourcesUnder("src");
const ownSources = sources.filter(({ path }) => !path.startsWith("src/gen/"));
const written = [...ownSources, ...(await sourcesUnder("tests")), ...(await sourcesUnder("scripts"))];

/** The folder of src/ that `path` ("src/http2/frame.ts") lies in; a file right in src/ is a layer by its name. */
function layerOf(path: string): string {
  return (path.split("/")[1] ?? "").replace(/\.ts$/, "");
}

/** What the file imports and exports from, as written: "./frame.ts", "node:net". Types too. */
function importsOf({ path, text }: SourceFile): string[] {
  const kept = text.replace(/\/\*[^]*?\*\//g, "");
  const pattern =
    /^(?:import|export)\b(?:[^;"'`]*?\bfrom)?\s*["']([^"'\n]+)["']|\b(?:import|require)\(\s*["']([^"']+)["']/gm;
  return [...kept.matchAll(pattern)].map((match) => {
    const specifier = match[1] ?? match[2] ?? "";
    return specifier.startsWith(".") ? join(path, "..", specifier) : specifier;
  });
}

/** The text without comments. Strings stay: what must not be used must not be spelled either. */
function codeOf({ text }: SourceFile): string {
  return text.replace(/\/\*[^]*?\*\//g, "").replace(/(^|[^:"'`])\/\/.*$/gm, "$1");
}

/** "<path>: <finding>" for each finding in any of `files`. */
function findings(files: readonly SourceFile[], find: (file: SourceFile) => readonly string[]): string[] {
  return files.flatMap((file) => find(file).map((finding) => `${file.path}: ${finding}`));
}

describe("layers", () => {
  test("every folder of src/ is a layer that this test knows", () => {
    expect(
      [...new Set(sources.map(({ path }) => layerOf(path)))].filter((layer) => !(layer in mayImport)),
    ).toEqual([]);
  });

  test("imports are found: this check would see one that points up", () => {
    const text =
      'import type { A,\n  B } from "../cli/run.ts";\nexport { c } from "./c.ts";\nawait import("node:net");';
    const imports = ["src/cli/run.ts", "src/http2/c.ts", "node:net"];
    expect(importsOf({ path: "src/http2/frame.ts", text })).toEqual(imports);
  });

  test("imports point down only", () => {
    const upward = findings(sources, (file) => {
      const layer = layerOf(file.path);
      return importsOf(file)
        .filter((target) => target.startsWith("src/"))
        .filter((target) => layerOf(target) !== layer && !mayImport[layer]?.includes(layerOf(target)))
        .map((target) => `must not import ${target}`);
    });
    expect(upward).toEqual([]);
  });

  test("relative imports stay in src/, but for package.json", () => {
    const outside = findings(sources, (file) =>
      importsOf(file).filter((target) => /^(\.|tests|scripts|node_modules|dist)/.test(target)),
    );
    expect(outside).toEqual([]);
  });

  const pure = ownSources.filter(({ path }) => pureLayers.includes(layerOf(path)));

  test("hpack and http2 import nothing but src/", () => {
    expect(findings(pure, (file) => importsOf(file).filter((target) => !target.startsWith("src/")))).toEqual(
      [],
    );
  });

  test("hpack and http2 know no clock, timer, socket, log or process", () => {
    const impure =
      /\b(setTimeout|setInterval|setImmediate|queueMicrotask|Date\.now|new Date|performance|console|process|Bun|Math\.random)\b/g;
    expect(findings(pure, (file) => codeOf(file).match(impure) ?? [])).toEqual([]);
  });

  test("only net touches Bun's sockets", () => {
    const elsewhere = ownSources.filter(({ path }) => layerOf(path) !== "net");
    expect(
      findings(elsewhere, (file) => codeOf(file).match(/\bBun\.(listen|connect|udpSocket)\b/g) ?? []),
    ).toEqual([]);
  });
});

describe("files", () => {
  test(`none is longer than ${LINES_MAX} lines`, () => {
    const long = findings(written, ({ text }) => {
      const lines = text.split("\n").length;
      return lines > LINES_MAX ? [`${lines} lines`] : [];
    });
    expect(long).toEqual([]);
  });

  test("none lies in a folder that could hold anything", () => {
    const vague = /(^|\/)(utils?|helpers?|commons?|types?|misc|lib|shared)\//;
    expect(written.filter(({ path }) => vague.test(path)).map(({ path }) => path)).toEqual([]);
  });

  test("none is a barrel", () => {
    expect(written.filter(({ path }) => path.endsWith("/index.ts")).map(({ path }) => path)).toEqual([]);
  });

  test("names are in kebab-case", () => {
    const name = /^[a-z0-9]+(-[a-z0-9]+)*(\.(test|bench))?\.ts$/;
    expect(
      written.filter(({ path }) => !name.test(path.split("/").at(-1) ?? "")).map(({ path }) => path),
    ).toEqual([]);
  });

  test("each file of src/ opens with a comment", () => {
    expect(ownSources.filter(({ text }) => !/^\/[*/]/.test(text)).map(({ path }) => path)).toEqual([]);
  });

  test("none has a default export", () => {
    expect(findings(written, (file) => codeOf(file).match(/^export default\b.*/gm) ?? [])).toEqual([]);
  });

  test("none of src/ says `any` for a type, or silences the compiler", () => {
    const loose = /(?:[:<,|&(]\s*any\b(?!\w)|\bas any\b|\bany\[\])/g;
    const silenced = /@ts-(?:ignore|expect-error|nocheck)/g;
    const inSources = ownSources.filter(({ path }) => path.startsWith("src/"));
    expect(findings(inSources, (file) => codeOf(file).match(loose) ?? [])).toEqual([]);
    expect(
      findings(written, ({ path, text }) =>
        path.endsWith("tidy.test.ts") ? [] : (text.match(silenced) ?? []),
      ),
    ).toEqual([]);
  });

  test("no test is marked as the only one, or as to be done", () => {
    const marks = new RegExp(String.raw`\b(test|describe|it)\.(only|todo|todoIf)\b`, "g");
    const tests = written.filter(({ path }) => path.endsWith(".test.ts") && !path.endsWith("tidy.test.ts"));
    expect(findings(tests, (file) => codeOf(file).match(marks) ?? [])).toEqual([]);
  });
});

test("no file of the project names a folder of the machine it was written on", async () => {
  // In two halves, so that this file does not match itself.
  const pattern = new RegExp(["/work/", "(main|shared)"].join(""));
  const left = /^(\.git|\.cache|node_modules|dist)(\/|$)|\.log$/;
  const paths = [...new Bun.Glob("**/*").scanSync({ cwd: repository, dot: true })].filter(
    (path) => !left.test(path),
  );
  expect(paths).toContain("package.json");
  const texts = await Promise.all(paths.map((path) => Bun.file(join(repository, path)).text()));
  expect(paths.filter((_, index) => pattern.test(texts[index] ?? ""))).toEqual([]);
});
