/**
 * Pages: small answers to HTTP requests that are no calls, such as health and metrics.
 * Stands between those who know what a page tells and the listeners of both products, which write it in their protocols.
 */

/** A page as it is now. */
export interface Page {
  readonly status: number;
  readonly contentType: string;
  readonly body: Uint8Array;
  /** Further header fields, by names in lower case. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** Who asks for a page, and how. */
export interface PageRequest {
  /** Without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** Aborted once nobody waits for the page any more: its reader has gone, or has all of it. */
  readonly signal: AbortSignal;
  /** Absent where the process asks itself. */
  readonly asker?: PageAsker | undefined;
}

/** What a request tells of who asks. */
export interface PageAsker {
  /** What the proxy is called: `Host` or `:authority`, with its port; may be empty. */
  readonly host: string;
  /** `Sec-Fetch-Site`: what a browser says of the page that asks. Empty without a browser. */
  readonly fetchSite: string;
}

/** Makes a page now. */
export type MakePage = (request: PageRequest) => Promise<Page>;

/** The pages there are: by the path of a request, without its query; undefined where there is none. */
export type Pages = (path: string) => MakePage | undefined;

/**
 * One page for all who ask while it is being made: a flood of requests costs the members no more than a single one.
 */
export function madeOnce(make: () => Promise<Page>): () => Promise<Page> {
  let making: Promise<Page> | null = null;
  return () => {
    making ??= make().finally(() => {
      making = null;
    });
    return making;
  };
}

/** A page that is good for `keptMs` milliseconds more once it was made well: for what hardly ever changes. */
export function keptFor(keptMs: number, make: () => Promise<Page>): () => Promise<Page> {
  let kept: Page | null = null;
  let madeMs = 0;
  return async () => {
    if (kept !== null && performance.now() - madeMs < keptMs) return kept;
    const page = await make();
    kept = page.status === 200 ? page : null;
    madeMs = performance.now();
    return page;
  };
}

export function textPage(status: number, text: string, contentType = "text/plain; charset=utf-8"): Page {
  return { status, contentType, body: new TextEncoder().encode(text) };
}

const ALLOWED = { allow: "GET, HEAD" };

/**
 * The page for `method` and `target`; it never rejects.
 *
 * @param signal gives the one of `PageRequest` once it is wanted; without it nobody waits once the page is made
 */
export async function servePage(
  pages: Pages,
  method: string,
  target: string,
  signal?: () => AbortSignal,
  asker?: PageAsker,
): Promise<Page> {
  const queryAt = target.indexOf("?");
  const path = queryAt < 0 ? target : target.slice(0, queryAt);
  const make = pages(path);
  if (make === undefined) return textPage(404, `${path} is not served here\n`);
  if (method !== "GET" && method !== "HEAD") {
    return { ...textPage(405, `${path} is only there to be read (GET)\n`), headers: ALLOWED };
  }
  const request = new Requested(path, queryAt < 0 ? "" : target.slice(queryAt), signal, asker);
  try {
    return await make(request);
  } catch (error) {
    return textPage(500, `etcdproxy: ${error instanceof Error ? error.message : String(error)}\n`);
  } finally {
    request.end();
  }
}

/** Most pages look at neither query nor signal: these are made for those that do, since pages may be asked for very often. */
class Requested implements PageRequest {
  readonly path: string;
  readonly asker: PageAsker | undefined;
  readonly #query: string;
  readonly #signal: (() => AbortSignal) | undefined;
  #over: AbortController | null = null;

  constructor(
    path: string,
    query: string,
    signal: (() => AbortSignal) | undefined,
    asker: PageAsker | undefined,
  ) {
    this.path = path;
    this.asker = asker;
    this.#query = query;
    this.#signal = signal;
  }

  get query(): URLSearchParams {
    return new URLSearchParams(this.#query);
  }

  get signal(): AbortSignal {
    return this.#signal?.() ?? (this.#over ??= new AbortController()).signal;
  }

  end(): void {
    this.#over?.abort();
  }
}

/** `/health`, as etcd tells it: `reason` is empty where all is well. */
export function healthAnswer(reason: string): Page {
  const body = JSON.stringify({ health: String(reason === ""), reason });
  return textPage(reason === "" ? 200 : 503, body, "application/json");
}

/** The reason in `/health` while what is open is finished before a stop. */
export const DRAINING = "draining";
