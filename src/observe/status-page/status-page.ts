/**
 * The status page: `GET /` on `--metrics-addr` of both products.
 *
 * One text without a reference to anything else but the pages that it asks every other second, `/proxy/metrics` and
 * `/proxy/endpoints`. It is the same for whoever asks, and tells nothing by itself. Its policy lets it run its own script and
 * no other, ask its own origin and nobody else, and stand in nobody's frame; text never becomes markup in it.
 */
import type { MakePage, Page, Pages } from "../page.ts";

let made: Promise<Page> | undefined;

const statusPage: MakePage = () => (made ??= make());

/** `pages`, and the status page at `/`. */
export function withStatusPage(pages: Pages): Pages {
  return (path) => (path === "/" ? statusPage : pages(path));
}

async function make(): Promise<Page> {
  const { PAGE_TEXT } = await import("./page-text.ts");
  const { html, scriptHash, styleHash } = PAGE_TEXT;
  const policy = [
    "default-src 'none'",
    `script-src 'sha256-${scriptHash}'`,
    `style-src 'sha256-${styleHash}'`,
    "connect-src 'self'",
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
  ].join("; ");
  return {
    status: 200,
    contentType: "text/html; charset=utf-8",
    body: new TextEncoder().encode(html),
    headers: {
      "cache-control": "no-store",
      "content-security-policy": policy,
      "cross-origin-resource-policy": "same-origin",
      "referrer-policy": "no-referrer",
      "x-content-type-options": "nosniff",
      "x-frame-options": "DENY",
    },
  };
}
