/**
 * Every line of the log, as the sources write it: whom it is about, and what keeps a peer from filling the log with it.
 *
 * A line that is not listed here fails this test: whoever adds one decides. What is about a peer or an endpoint names it; what a
 * peer can cause as often as it likes is limited. That nothing secret is in a field the names of the fields tell.
 */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";

const root = join(import.meta.dir, "..", "src");

/** What names whom a line is about: a field, or for warnings that are one text, the text. */
type About = "peer" | "endpoint" | "endpoints" | "the process";
/** Why there cannot be many: see `waysToLimit`. */
type Bound = keyof typeof waysToLimit | "each time it happens, which is seldom";

const waysToLimit = {
  "by its key": /\.(write|reached)\($/,
  "by time, with a count": /Line\.error\($/,
  "one for each call, as asked for": /options\.log\.info\($/,
};

const SELDOM = "each time it happens, which is seldom";
const own = { about: "the process", bound: SELDOM } as const;

const lines: Readonly<Record<string, { readonly about: About; readonly bound: Bound }>> = {
  // What clients can cause.
  "a ${side} reached a limit": { about: "peer", bound: "by its key" },
  "refused a client's HTTP/1.1 request": { about: "peer", bound: "by its key" },
  "refused a client's HTTP/2 request": { about: "peer", bound: "by its key" },
  "unexpected error on a client's connection": { about: "peer", bound: "by its key" },
  "a client's TLS handshake failed": { about: "peer", bound: "by its key" },
  "gave up a client that does not answer": { about: "peer", bound: "by its key" },
  "ended a client's connection": { about: "peer", bound: "by its key" },
  "too many clients, client reset": { about: "peer", bound: "by time, with a count" },
  "a connection failed unexpectedly and is closed": { about: "peer", bound: "by its key" },
  "unexpected error": { about: "the process", bound: "by its key" },
  // What members can cause.
  "unexpected error on a member's connection": { about: "peer", bound: "by its key" },
  "a member passes its checks again": { about: "endpoint", bound: "by its key" },
  "cannot authenticate as --user": { about: "the process", bound: "by its key" }, // `#fields` adds the endpoint.
  // The channel makes ten new connections at once at most, and one a second.
  "connected to a member": { about: "endpoint", bound: SELDOM },
  // Once for each connection, whose interval doubles.
  "a member finds the keepalive pings too many: it is pinged less often": {
    about: "endpoint",
    bound: SELDOM,
  },
  // Verdicts are confirmed over a second.
  "endpoint is dead, its clients are reset": { about: "endpoint", bound: SELDOM },
  // Lookups are seconds apart.
  "the endpoints have changed": { about: "the process", bound: SELDOM },
  "${news.length - LINES_MAX} further warnings are left out": { about: "the process", bound: SELDOM },
  "an endpoint is this proxy itself, left out": { about: "endpoints", bound: SELDOM },
  "discovered the cluster from SRV records": { about: "endpoints", bound: SELDOM },
  // A registration: what breaks it is limited and told elsewhere.
  registered: own,
  "no longer registered": own,
  "the registration stays until its lease ends": own,
  "the registered proxies are watched again": own,
  // The process.
  "--auto-tls: the certificate will be made at the start": own,
  "NOTIFY_SOCKET cannot be used: the service manager is told nothing": own,
  "the service manager does not take what it is told": { about: "the process", bound: "by its key" },
  "a worker hangs, and is ended": own,
  "draining: clients may finish": own,
  draining: own,
  "drained: no client is left": own,
  "the drain timeout is over: what clients have open is cut": own,
  "a worker has died, and another one takes its place": own,
  "a worker has started again": own,
  "a worker cannot start": own,
  "listening for metrics": own,
  stopping: own,
  stopped: own,
  failed: own,
  "SIGHUP: nothing is read anew while the product starts": own,
  "SIGHUP: there is no file to read anew": own,
  "ended at once by a second signal: what clients have open is cut": own,
  "log lines were left out: stderr took them too slowly": own,
  "--insecure-skip-tls-verify: members' certificates are not checked, so anybody on the way can pass for a member":
    own,
  "${file.flag} ${file.path}: the list is out of date since ${since}: what was revoked later is let in": own,
  "TLS files cannot be used, what was loaded before stays in use": own,
  "read TLS files anew": own,
  "everybody on this machine can read --password-file: take that right away, as with chmod 600": own,
  "--trusted-ca-file is not used: it is for members of --discovery-srv, when they are checked": own,
  "--endpoints is not used: --discovery-srv names the members": own,
  "${flag} is not used: without --discovery-srv members are those of --endpoints": own,
  "${flag} is raised to the least that gRPC uses": own,
  "${file.flag} ${file.path}: ${why}: its signature is not checked": own,
  "${files.certificate.flag} ${files.certificate.path}: ${problem}": own,
};

/** Lines whose words are put together elsewhere: by the expression that stands for them. */
const wordsOfElsewhere = [
  "READY_MESSAGE",
  "message", // Of one of the functions that are given a line to write, all of which are listed or limited.
  "shortened(warning)", // Texts that name what they are about; NewsOnly bounds them.
  "warning",
  "remark",
];

interface Site {
  readonly path: string;
  /** What stands before the opening parenthesis, and it. */
  readonly call: string;
  /** Everything between the parentheses. */
  readonly words: string;
}

/** Calls like `log.warn(…)`, `this.#log.write("warn", …)` and `refusedLine.error(…)`. */
const CALL =
  /[\w.#()?]*(?:[lL]og|Line|limited|limits|limitLog)(?:\.child\("[\w-]+"\))?\.(?:debug|info|warn|error|write|reached)\(/g;

async function sites(): Promise<Site[]> {
  const found: Site[] = [];
  for (const path of [...new Bun.Glob("**/*.ts").scanSync({ cwd: root })].sort()) {
    if (path.startsWith("gen/")) continue;
    const text = (await Bun.file(join(root, path)).text()).replace(/\/\*[^]*?\*\//g, "");
    for (const match of text.matchAll(CALL)) {
      const start = match.index + match[0].length;
      found.push({ path, call: match[0], words: text.slice(start, closing(text, start)) });
    }
  }
  return found;
}

/** Where the parenthesis closes that was opened before `start`. Strings of log lines have theirs in pairs. */
function closing(text: string, start: number): number {
  let depth = 1;
  let at = start;
  for (; depth > 0 && at < text.length; at++) {
    if (text[at] === "(") depth++;
    else if (text[at] === ")") depth--;
  }
  return at - 1;
}

/** The first text that is a message: with a space in it, or alone. */
function messageOf({ call, words }: Site): string | undefined {
  const texts = [...words.matchAll(/"([^"]+)"|`((?:[^`$]|\$\{[^}]*\})+)`/g)].map(
    ([, plain, made]) => plain ?? made,
  );
  const keyed = /\.(write|reached)\($/.test(call);
  return keyed ? (texts.slice(1).findLast((text) => text?.includes(" ")) ?? texts[2]) : texts[0];
}

const all = await sites();
const isKnown = (site: Site): boolean => Object.hasOwn(lines, messageOf(site) ?? "");

describe("the lines of the log", () => {
  test("are found", () => {
    expect(all.length).toBeGreaterThan(45);
  });

  test("are all listed", () => {
    const unknown = all
      .filter((site) => !isKnown(site))
      .filter(
        ({ words }) =>
          !wordsOfElsewhere.some((word) => words.split(/,\s*/).some((argument) => argument.trim() === word)),
      )
      // What a limit is about is LimitLog's second argument: its line is listed.
      .filter(({ call }) => !call.endsWith(".reached("))
      .map(({ path, call, words }) => `${path}: ${call}${words.replace(/\s+/g, " ").slice(0, 100)}`);
    expect(unknown).toEqual([]);
  });

  test("that are listed are all there", () => {
    const there = new Set(all.map(messageOf));
    expect(Object.keys(lines).filter((message) => !there.has(message))).toEqual([]);
  });

  test("about a peer or an endpoint name it", () => {
    const nameless = all.filter(isKnown).filter((site) => {
      const { about } = lines[messageOf(site)!]!;
      return (
        about !== "the process" && !new RegExp(`\\b${about}\\b`).test(site.words.replace(/"[^"]*"/g, ""))
      );
    });
    expect(nameless.map(messageOf)).toEqual([]);
  });

  test("that a peer can cause are limited", () => {
    const unlimited = all.filter(isKnown).filter((site) => {
      const { bound } = lines[messageOf(site)!]!;
      return bound !== SELDOM && !waysToLimit[bound].test(site.call);
    });
    expect(unlimited.map(messageOf)).toEqual([]);
  });

  test("have no field that is called like a secret", () => {
    const secret =
      /[{,]\s*(passwords?|tokens?|metadata|authorization|credentials?|keys?|values?|body|headers?)\s*[:,}]/i;
    const fieldsOf = ({ words }: Site): string =>
      /\{[^]*\}/.exec(words.replace(/"[^"]*"|`[^`]*`/g, ""))?.[0] ?? "";
    expect(
      all
        .filter(({ path }) => path !== "proxy/cluster/registration.ts") // Its key is the proxy's own, with its address.
        .filter((site) => secret.test(fieldsOf(site)))
        .map(({ path, words }) => `${path}: ${words}`),
    ).toEqual([]);
  });
});
