/**
 * `/livez` and `/readyz`: a page for each set of checks, and one for each check of it, in the form of etcd's members and of
 * Kubernetes.
 *
 *      [+]linearizable_read ok            with ?verbose, and whenever one fails
 *      [-]certificates failed: …
 *
 * Stands between those who know what is to be checked and those who ask: 200 where all is well, else 503. `?exclude=<name>`,
 * once or several times, leaves a check out; a name that there is not excludes nothing, so that one probe does for several
 * versions.
 */
import { type MakePage, type Page, type PageRequest, type Pages, textPage } from "./page.ts";

export interface Check {
  /** Lower case letters and `_`, as etcd's. */
  readonly name: string;
  /** Returns "" or what is wrong, in one line. */
  readonly problem: () => string | Promise<string>;
}

/** The pages at `root` and below it. */
export function checkPages(root: string, checks: readonly Check[]): Pages {
  const pages = new Map<string, MakePage>([[root, (request) => checkedPage(checks, request)]]);
  for (const check of checks) pages.set(`${root}/${check.name}`, (request) => checkedPage([check], request));
  return (path) => pages.get(path);
}

async function checkedPage(checks: readonly Check[], { query }: PageRequest): Promise<Page> {
  const excluded = new Set(query.getAll("exclude"));
  const asked = checks.filter(({ name }) => !excluded.has(name));
  const found = await Promise.all(
    asked.map(async (check) => ({ name: check.name, reason: await run(check) })),
  );
  return answerPage(found, query.has("verbose"));
}

async function run({ problem }: Check): Promise<string> {
  try {
    return await problem();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

interface CheckResult {
  readonly name: string;
  /** Empty where all is well. */
  readonly reason: string;
}

function answerPage(results: readonly CheckResult[], verbose: boolean): Page {
  const well = results.every(({ reason }) => reason === "");
  const lines = results.map(({ name, reason }) =>
    reason === "" ? `[+]${name} ok\n` : `[-]${name} failed: ${oneLine(reason)}\n`,
  );
  const text = well ? `${verbose ? lines.join("") : ""}ok\n` : `${lines.join("")}\n`;
  return { ...textPage(well ? 200 : 503, text), headers: { "x-content-type-options": "nosniff" } };
}

function oneLine(reason: string): string {
  return reason.replaceAll(/\s*\n\s*/g, "; ");
}

/**
 * The page of a process of several workers, out of what each has told when it was asked with `?verbose`; null is one that did
 * not answer. A check is passed where every worker has passed it.
 */
export function checksOfAll(told: readonly (Page | null)[], verbose: boolean): Page {
  const missing = told.find((page) => page?.status === 404);
  if (missing) return missing;
  const results = told.flatMap((page, worker) =>
    page === null
      ? [{ name: "workers", reason: `worker ${worker} does not answer` }]
      : readResults(page).map(({ name, reason }) => ({
          name,
          reason: reason === "" ? "" : `worker ${worker}: ${reason}`,
        })),
  );
  const byName = Map.groupBy(results, ({ name }) => name);
  const merged = [...byName].map(([name, each]) => ({
    name,
    reason: each.find(({ reason }) => reason !== "")?.reason ?? "",
  }));
  return answerPage(merged, verbose);
}

function readResults({ body }: Page): CheckResult[] {
  const lines = new TextDecoder().decode(body).split("\n");
  return lines.flatMap((line) => {
    const [, sign, name = "", reason = ""] = /^\[([+-])\](\S+) (?:ok|failed: (.*))$/.exec(line) ?? [];
    return sign === undefined ? [] : [{ name, reason }];
  });
}
