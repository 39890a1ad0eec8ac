/**
 * What docs/ tells of flags, metrics and log lines is what the program has, and its links lead somewhere.
 */
import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import type { FlagDefinition } from "../../src/cli/flag-definition.ts";
import { formatDefault } from "../../src/cli/flag-value.ts";
import { gatewayFlags } from "../../src/cli/gateway-flags.ts";
import { grpcProxyFlags } from "../../src/cli/grpc-proxy-flags.ts";
import { ReadmeFile } from "../readme-file.ts";
import { docPages, repository } from "./doc-pages.ts";

const tables: readonly (readonly [product: string, flags: readonly FlagDefinition[]])[] = [
  ["gateway", gatewayFlags],
  ["grpc-proxy", grpcProxyFlags],
];

function page(path: string): ReadmeFile {
  const found = docPages.find((candidate) => candidate.path === path);
  if (found === undefined) throw new Error(`there is no ${path}`);
  return found.file;
}

/** What stands in backquotes. */
function codeIn(text: string): string[] {
  return [...text.matchAll(/`([^`]+)`/g)].map(([, code = ""]) => code);
}

const sources = (
  await Promise.all(
    [...new Bun.Glob("src/**/*.ts").scanSync({ cwd: repository })]
      .filter((path) => !path.startsWith("src/gen/"))
      .map((path) => Bun.file(join(repository, path)).text()),
  )
).join("\n");

describe("flags", () => {
  test.each(tables)("every one of %s stands in docs/configuration.md", (_, flags) => {
    const { text } = page("docs/configuration.md");
    const missing = flags.filter(({ name }) => !new RegExp(`--${name}(?![\\w-])`).test(text));
    expect(missing.map(({ name }) => name)).toEqual([]);
  });

  test("are flags of a product, wherever docs/ mention them", () => {
    const known = new Set(tables.flatMap(([, flags]) => flags.map(({ name }) => `--${name}`)));
    /** Of other programs: etcdctl, curl, scripts, and the runtime's that the unit files take away. */
    const foreign = new Set([
      "--consistency",
      "--http1",
      "--name",
      "--preload",
      "--help",
      "--all",
      "--update",
      "--advertise-client-urls",
      "--build-arg",
      "--check",
      "--ignore-missing",
      "--output",
      "--rm",
      "--target",
      "--time",
    ]);
    const unknown = docPages.flatMap(({ path, file }) =>
      (file.prose.match(/(?<![\w-])--[a-z][\w-]*/g) ?? [])
        .filter((flag) => !known.has(flag) && !foreign.has(flag))
        .map((flag) => `${path}: ${flag}`),
    );
    expect(unknown).toEqual([]);
  });

  describe.each(tables)("of %s in the tables of docs/migration.md", (product, flags) => {
    const rows = page("docs/migration.md")
      .table(product)
      .map(([flag = "", theirs = "", here = ""]) => ({
        name: codeIn(flag)[0]?.replace(/^--/, "") ?? "",
        theirs: theirs.replaceAll("`", ""),
        here,
      }));

    test("are those of the product, each once", () => {
      const names = rows.map(({ name }) => name);
      expect(new Set(names).size).toBe(names.length);
      expect(names.filter((name) => !flags.some((flag) => flag.name === name))).toEqual([]);
      // Those of etcd's own come first in each table, so that each of ours that has no row is one of our own.
      const own = flags.filter(({ name }) => !names.includes(name)).map(({ name }) => name);
      expect(own.sort()).toEqual([...OWN_FLAGS[product]!].sort());
    });

    test("have the default that they tell", () => {
      const differing = rows.filter(({ name, theirs }) => {
        const flag = flags.find((candidate) => candidate.name === name)!;
        return (formatDefault(flag) ?? (flag.kind === "boolean" ? "false" : "")) !== theirs;
      });
      expect(differing).toEqual([]);
    });

    test("are not supported yet where that is told, and nowhere else", () => {
      expect(rows.filter(({ here }) => !["same", "more", "not yet"].includes(here))).toEqual([]);
      const later = flags.filter((flag) => flag.since === "later").map(({ name }) => name);
      const told = rows.filter(({ here }) => here === "not yet").map(({ name }) => name);
      expect(told.sort()).toEqual(later.filter((name) => rows.some((row) => row.name === name)).sort());
    });
  });
});

/** The flags that etcd's commands of the same name do not have. */
const OWN_FLAGS: Readonly<Record<string, readonly string[]>> = {
  gateway: [
    ...["balancer", "config-file", "debug", "dial-timeout", "discovery-refresh", "dns-server"],
    ...["drain-timeout", "endpoint-weights", "health-check-interval", "health-check-timeout", "idle-timeout"],
    ...["log-format", "log-level", "max-connections", "metrics-addr", "tcp-keepalive", "workers"],
  ],
  "grpc-proxy": [
    ...["balancer", "cache", "cache-max-age", "cache-max-bytes", "cache-max-entries", "config-file"],
    ...["dial-timeout", "discovery-refresh", "dns-server", "drain-timeout", "endpoint-weights"],
    ...["grpc-logging-values", "health-check-interval", "health-check-timeout", "lease-coalescing"],
    ...["log-format", "log-level", "max-buffer-bytes", "max-connections", "namespace-strict"],
    ...["password-file", "read-coalescing", "user", "watch-coalescing", "workers"],
  ],
};

const measured = (await ReadmeFile.read("tests/README.md")).text;

describe("figures of outages", () => {
  const times = page("docs/comparison.md")
    .table("what happens")
    .flatMap(([, , ours = "", theirs = ""]) => [ours, theirs]);

  test("are there", () => {
    expect(times.length).toBeGreaterThan(8);
  });

  test.each(times)("%s are those that scripts/faults has written", (cell) => {
    const [reads, writes, events] = cell.split(", ").map((time) => RegExp.escape(time));
    expect(measured).toMatch(new RegExp(`\\| ${reads} \\| [^|]+ \\| ${writes} \\| ${events} \\|`));
  });
});

describe("metrics", () => {
  test("that docs/ name are metrics of the program", () => {
    const named = new Set(
      docPages.flatMap(
        ({ file }) =>
          file.text.match(/\b(?:etcdproxy|etcd_grpc_proxy|grpc_server|process)_[a-z_]+[a-z]\b/g) ?? [],
      ),
    );
    expect(named.size).toBeGreaterThan(20);
    const missing = [...named].filter(
      (name) => !sources.includes(`"${name.replace(/_(bucket|sum|count)$/, "")}"`) && !isPrefix(name),
    );
    expect(missing).toEqual([]);
  });

  /** What stands before `…` or in a pattern of grep: a metric begins so. */
  function isPrefix(name: string): boolean {
    return [
      "etcd_grpc_proxy",
      "etcdproxy_gateway",
      "etcdproxy_certificate_expiry",
      "etcdproxy_lease",
      "etcdproxy_regist",
    ].includes(name);
  }
});

describe("alerts", () => {
  test("are all in docs/operations.md, each as bad as it is", async () => {
    const { groups } = Bun.YAML.parse(
      await Bun.file(join(repository, "deploy/prometheus/alerts.yaml")).text(),
    ) as { groups: { rules: { alert: string; labels: { severity: string } }[] }[] };
    const told = page("docs/operations.md")
      .table("alert")
      .flatMap(([alerts = "", severities = ""]) => {
        const each = severities.split(", ");
        return codeIn(alerts).map((alert, index) => [alert, each[index] ?? each[0]] as const);
      });
    const rules = groups.flatMap((group) => group.rules);
    expect(told.length).toBe(rules.length);
    expect(new Map(told)).toEqual(new Map(rules.map(({ alert, labels }) => [alert, labels.severity])));
  });
});

describe("log lines", () => {
  test("that docs/troubleshooting.md explains are lines of the program", () => {
    const { text } = page("docs/troubleshooting.md");
    const explained = [...text.matchAll(/^\| (`[^|]*) \|/gm)].flatMap(([, cell = ""]) => codeIn(cell));
    const lines = explained.filter((code) => /^[a-zA-Z][\w'/ -]* /.test(code) && code !== code.toUpperCase());
    expect(lines.length).toBeGreaterThan(20);
    expect(lines.filter((line) => !isWritten(line))).toEqual([]);
  });

  /** A limit's line is made of the side that the peer is on. */
  function isWritten(line: string): boolean {
    return (
      sources.includes(line) ||
      (/^a (client|member) reached a limit$/.test(line) && sources.includes("`a ${side} reached a limit`"))
    );
  }
});

describe.each(["README.md", "SECURITY.md", "tests/README.md", ...docPages.map(({ path }) => path)])(
  "%s",
  (path) => {
    test("links only to files and headings that exist", async () => {
      const file = await ReadmeFile.read(path);
      const broken: string[] = [];
      for (const link of file.links().filter((target) => !/^https?:/.test(target))) {
        const [target = "", anchor] = link.split("#");
        const linked = target === "" ? path : join(dirname(path), target);
        if (!existsSync(join(repository, linked))) broken.push(link);
        else if (anchor !== undefined && !(await ReadmeFile.read(linked)).anchors.includes(anchor)) {
          broken.push(link);
        }
      }
      expect(broken).toEqual([]);
    });

    test("names only files of ours that exist", async () => {
      const { text } = await ReadmeFile.read(path);
      const named = new Set(text.match(/(?<![\w/.-])(src|tests|scripts|proto|docs|deploy)\/[\w./-]*\w/g));
      expect([...named].filter((file) => !existsSync(join(repository, file)))).toEqual([]);
    });
  },
);

test("docs/README.md is a map of all pages", () => {
  const listed = new Set(
    page("docs/README.md")
      .links()
      .map((link) => `docs/${link}`),
  );
  expect(
    docPages.map(({ path }) => path).filter((path) => path !== "docs/README.md" && !listed.has(path)),
  ).toEqual([]);
});
