/** A small answer to an HTTP request that is no call: health, metrics, not found. */
export interface Page {
  readonly status: number;
  readonly contentType: string;
  readonly body: Uint8Array;
}

/** What a page may depend on: the path of a GET or HEAD request, without its query. */
export type ServePage = (path: string) => Promise<Page>;

export function textPage(status: number, text: string, contentType = "text/plain; charset=utf-8"): Page {
  return { status, contentType, body: new TextEncoder().encode(text) };
}

/** The page for `method` and `target`; it never rejects. */
export async function servePage(serve: ServePage, method: string, target: string): Promise<Page> {
  if (method !== "GET" && method !== "HEAD") return textPage(405, "only GET and HEAD are served here\n");
  try {
    return await serve(target.split("?", 1)[0]!);
  } catch (error) {
    return textPage(500, `etcdproxy: ${error instanceof Error ? error.message : String(error)}\n`);
  }
}
