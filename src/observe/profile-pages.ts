/**
 * The pages under `/debug/pprof/`, where `--enable-pprof` has asked for them: what a thread does, and what it keeps in memory.
 *
 * The paths are those of Go programs, as far as there is something to tell under them; the formats are those of the tools for
 * JavaScript, since Go's knows nothing of its engine. One profile or snapshot is under way at a time, from the request until
 * its reader has all of it, and a profile ends after `SECONDS_MAX` at the latest, when its reader goes, or when the product
 * stops: so nobody can make the process sample for ever, or hold many snapshots.
 */
import { isIpLiteral } from "../net/address.ts";
import { type MakePage, type Page, type PageAsker, type PageRequest, type Pages, textPage } from "./page.ts";

export const PROFILES_ROOT = "/debug/pprof/";

/** As in Go. */
const SECONDS_DEFAULT = 30;
const SECONDS_MAX = 60;

export interface ProfilePagesOptions {
  /** The command line, the program's name first. */
  readonly commandLine: readonly string[];
  /** Which of several workers this is; absent where there are none. */
  readonly worker?: number | undefined;
}

export class ProfilePages {
  readonly #options: ProfilePagesOptions;
  readonly #stopping = new AbortController();
  readonly pages: Pages;

  constructor(options: ProfilePagesOptions) {
    this.#options = options;
    const busy = new OneAtATime();
    const ofThisWorker =
      (make: MakePage): MakePage =>
      async (request) =>
        this.#wrongWorker(request) ?? (await make(request));
    this.pages = profilePaths({
      index: async () => this.#index(),
      cmdline: async () => textPage(200, commandLineText(options.commandLine)),
      profile: ofThisWorker(busy.only((request) => this.#profile(request))),
      heap: ofThisWorker(busy.only((request) => this.#heap(request))),
    });
  }

  /** Ends the profile that is under way: its reader gets what there is. Later ones are short. */
  stop(): void {
    this.#stopping.abort();
  }

  /** A page that says so where another worker is asked for; null where this one is. */
  #wrongWorker({ query }: PageRequest): Page | null {
    const { worker } = this.#options;
    const asked = query.get("worker");
    if (asked === null || asked === String(worker)) return null;
    if (worker === undefined) return textPage(400, "there are no workers: leave ?worker= out\n");
    const advice = "on --metrics-addr ?worker= chooses, on --listen-addr chance does";
    return textPage(400, `this is worker ${worker}: ${advice}\n`);
  }

  async #profile({ query, signal }: PageRequest): Promise<Page> {
    const seconds = profileSeconds(query);
    if (seconds === null) return textPage(400, `?seconds= takes a number up to ${SECONDS_MAX}\n`);
    const { cpuProfile } = await import("./cpu-profile.ts");
    const profile = await cpuProfile(seconds, AbortSignal.any([signal, this.#stopping.signal]));
    return this.#file("cpu.cpuprofile", new TextEncoder().encode(profile));
  }

  async #heap({ query }: PageRequest): Promise<Page> {
    const format = query.get("format") ?? "v8";
    switch (format) {
      case "v8":
        return this.#file("heap.heapsnapshot", new Uint8Array(Bun.generateHeapSnapshot("v8", "arraybuffer")));
      case "jsc": {
        const text = JSON.stringify(Bun.generateHeapSnapshot());
        return this.#file("heap.json", new TextEncoder().encode(text));
      }
      default:
        return textPage(400, "?format= takes v8, for Chrome's tools, or jsc, for Safari's and Bun's\n");
    }
  }

  #file(name: string, body: Uint8Array): Page {
    const { worker } = this.#options;
    const fileName = `etcdproxy${worker === undefined ? "" : `-worker${worker}`}-${name}`;
    return {
      status: 200,
      contentType: "application/json",
      body,
      headers: { "content-disposition": `attachment; filename="${fileName}"` },
    };
  }

  #index(): Page {
    const { worker } = this.#options;
    return indexPage(
      worker === undefined
        ? ""
        : `<p>The process has several workers, each a thread of its own: this is worker ${worker}.</p>`,
    );
  }
}

/** The makers of the pages that there are. */
export interface ProfileMakers {
  readonly index: MakePage;
  readonly cmdline: MakePage;
  readonly profile: MakePage;
  readonly heap: MakePage;
}

/** Those under the paths of Go programs; what these have besides is answered by a list of what there is. */
export function profilePaths(makers: ProfileMakers): Pages {
  const pages = new Map<string, MakePage>([
    ["/debug/pprof", () => Promise.resolve(MOVED)],
    [PROFILES_ROOT, makers.index],
    [`${PROFILES_ROOT}cmdline`, makers.cmdline],
    [`${PROFILES_ROOT}profile`, makers.profile],
    [`${PROFILES_ROOT}heap`, makers.heap],
  ]);
  return (path) => {
    const make = pages.get(path) ?? (path.startsWith(PROFILES_ROOT) ? notThere : undefined);
    return make && (async (request) => refusal(request.asker) ?? (await make(request)));
  };
}

/**
 * What a web page that somebody looks at could ask for in the browser's name is refused; null where it is not.
 *
 * A page can give its own name the proxy's address (DNS rebinding), and is then shown what its browser may see, on loopback too:
 * so names are refused, but that of loopback, which no page has. What other pages start without seeing it costs time as well.
 */
function refusal(asker: PageAsker | undefined): Page | null {
  const { host = "", fetchSite = "" } = asker ?? {};
  const name = host.replace(/:\d*$/, "");
  const known =
    name === "" || name.toLowerCase() === "localhost" || isIpLiteral(name.replace(/^\[(.*)\]$/, "$1"));
  if (!known) return textPage(403, "profiles are for who asks by an IP address or localhost, not by name\n");
  const ownSite = ["", "none", "same-origin"].includes(fetchSite);
  return ownSite ? null : textPage(403, "profiles are not for the pages of other sites\n");
}

const MOVED: Page = { ...textPage(301, "see /debug/pprof/\n"), headers: { location: PROFILES_ROOT } };

function notThere({ path }: PageRequest): Promise<Page> {
  const name = path.slice(PROFILES_ROOT.length);
  const there = "there are profile, heap and cmdline";
  return Promise.resolve(
    textPage(404, `there is no ${name} of a program that is not written in Go; ${there}\n`),
  );
}

/** The page with links. @param note HTML about whom it tells of */
export function indexPage(note: string): Page {
  const html = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>etcdproxy: profiles</title>
<h1>Profiles</h1>
${note}
<ul>
<li><a href="profile?seconds=10">profile</a>: where time is spent, for <code>?seconds=</code> (${SECONDS_DEFAULT}; at most ${SECONDS_MAX}); Chrome's and VS Code's tools open it
<li><a href="heap">heap</a>: a snapshot of the memory of JavaScript for Chrome's tools, with <code>?format=jsc</code> for Safari's; nobody is served while it is taken
<li><a href="cmdline">cmdline</a>: the command line
</ul>
</html>
`;
  return textPage(200, html, "text/html; charset=utf-8");
}

/** How long `?seconds=` asks to profile; null where that is not to be had. */
export function profileSeconds(query: URLSearchParams): number | null {
  const text = query.get("seconds") ?? String(SECONDS_DEFAULT);
  const seconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) : 0;
  return seconds > 0 && seconds <= SECONDS_MAX ? seconds : null;
}

/** Lets one of several pages be asked for at a time, until nobody waits for it any more. */
export class OneAtATime {
  #busy = false;

  only(make: MakePage): MakePage {
    return async (request) => {
      if (this.#busy) {
        return textPage(409, "another profile or snapshot is under way: ask again when that is over\n");
      }
      this.#busy = true;
      const free = (): void => {
        this.#busy = false;
      };
      request.signal.addEventListener("abort", free, { once: true });
      if (request.signal.aborted) free();
      return await make(request);
    };
  }
}

/** As Go tells it: words with a byte of 0 between them. Whoever writes a password into a URL finds it hidden. */
function commandLineText(words: readonly string[]): string {
  return words.map((word) => word.replaceAll(/\/\/[^/@,\s]*@/g, "//[hidden]@")).join("\0");
}
