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

/** Makes a page now. */
export type MakePage = () => Promise<Page>;

/** The pages there are: by the path of a request, without its query; undefined where there is none. */
export type Pages = (path: string) => MakePage | undefined;

/**
 * One page for all who ask while it is being made: a flood of requests costs the members no more than a single one.
 */
export function madeOnce(make: MakePage): MakePage {
  let making: Promise<Page> | null = null;
  return () => {
    making ??= make().finally(() => {
      making = null;
    });
    return making;
  };
}

export function textPage(status: number, text: string, contentType = "text/plain; charset=utf-8"): Page {
  return { status, contentType, body: new TextEncoder().encode(text) };
}

/** The page for `method` and `target`; it never rejects. */
export async function servePage(pages: Pages, method: string, target: string): Promise<Page> {
  const path = target.split("?", 1)[0]!;
  const make = pages(path);
  if (make === undefined) return textPage(404, `${path} is not served here\n`);
  if (method !== "GET" && method !== "HEAD") return textPage(405, `${path} is only there to be read (GET)\n`);
  try {
    return await make();
  } catch (error) {
    return textPage(500, `etcdproxy: ${error instanceof Error ? error.message : String(error)}\n`);
  }
}

/** `/health`, as etcd tells it: `reason` is empty where all is well. */
export function healthAnswer(reason: string): Page {
  const body = JSON.stringify({ health: String(reason === ""), reason });
  return textPage(reason === "" ? 200 : 503, body, "application/json");
}

/** The reason in `/health` while what is open is finished before a stop. */
export const DRAINING = "draining";
