/**
 * How a page is written as the answer to a request, over HTTP/1.1 and HTTP/2.
 *
 * Stands between `servePage` and a client's connection. A page may be large (a heap snapshot): it is handed to the connection
 * in pieces, a few ahead of what its reader has taken, so that a slow reader fills no buffers; and whoever makes it is told
 * when its reader has gone.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { type CallReceiver, NO_RECEIVER, type ServerCall } from "../../grpc/server-call.ts";
import { Code } from "../../grpc/status.ts";
import { headerField } from "../../hpack/header-field.ts";
import { type Page, type Pages, servePage } from "../../observe/page.ts";

const PIECE_BYTES = 64 * 1024;
const NO_BYTES = new Uint8Array(0);
/** What is queued of a page for a reader who does not keep up. */
const AHEAD_BYTES = 128 * 1024;
/** How long such a reader may take nothing, in milliseconds. HTTP/1.1 connections have a limit of their own. */
const UNREAD_MS_MAX = 60_000;

export async function answerPageOverHttp1(
  pages: Pages,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { host = "", "sec-fetch-site": fetchSite = "" } = request.headers;
  const asker = { host, fetchSite };
  const page = await servePage(
    pages,
    request.method ?? "GET",
    request.url ?? "/",
    () => goneSignal(response),
    asker,
  );
  const fields = { "content-type": page.contentType, "content-length": page.body.length };
  response.writeHead(page.status, page.headers === undefined ? fields : { ...page.headers, ...fields });
  if (request.method === "HEAD") response.end();
  else if (page.body.length <= PIECE_BYTES) response.end(page.body);
  else Readable.from(pieces(page.body)).pipe(response);
}

/** Aborted once nobody waits for the answer any more. */
function goneSignal(response: ServerResponse): AbortSignal {
  const over = new AbortController();
  if (response.closed) over.abort();
  else response.once("close", () => over.abort());
  return over.signal;
}

function* pieces(body: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < body.length; at += PIECE_BYTES) yield body.subarray(at, at + PIECE_BYTES);
}

/** The parts of a request's head that pages look at. */
export interface PageHead {
  readonly method: string;
  readonly path: string;
  readonly authority: string;
}

/** Answers `call`, which began with `head`. */
export function answerPageOverHttp2(
  pages: Pages,
  call: ServerCall,
  { method, path, authority }: PageHead,
): void {
  const answer = new PageAnswer(call, method !== "HEAD");
  call.receiver = answer;
  const asker = { host: authority, fetchSite: call.head.value("sec-fetch-site") ?? "" };
  void answer.send(servePage(pages, method, path, () => answer.signal, asker));
}

class PageAnswer implements CallReceiver {
  readonly #call: ServerCall;
  /** Only where somebody wants to know. */
  #over: AbortController | null = null;
  #ended = false;
  readonly #withBody: boolean;
  #body: Uint8Array = NO_BYTES;
  /** Handed to the connection. */
  #at = 0;
  /** Of that, what its reader has not taken. */
  #queuedBytes = 0;
  #sending = false;
  #unread: ReturnType<typeof setTimeout> | undefined;

  constructor(call: ServerCall, withBody: boolean) {
    this.#call = call;
    this.#withBody = withBody;
  }

  /** Aborted once nobody waits for the page any more. */
  get signal(): AbortSignal {
    this.#over ??= new AbortController();
    if (this.#ended) this.#over.abort();
    return this.#over.signal;
  }

  async send(making: Promise<Page>): Promise<void> {
    const page = await making;
    if (this.#call.finished) return;
    this.#call.sendHead([
      headerField(":status", String(page.status)),
      headerField("content-type", page.contentType),
      headerField("content-length", String(page.body.length)),
      ...Object.entries(page.headers ?? {}).map(([name, value]) => headerField(name, value)),
    ]);
    if (this.#withBody) this.#body = page.body;
    this.#sendMore();
  }

  #sendMore(): void {
    if (this.#sending || this.#ended) return;
    this.#sending = true;
    while (this.#at < this.#body.length && this.#queuedBytes < AHEAD_BYTES && !this.#call.finished) {
      const end = Math.min(this.#at + PIECE_BYTES, this.#body.length);
      const sent = this.#call.sendMessageBytes(this.#body, this.#at, end);
      this.#queuedBytes += end - this.#at - sent;
      this.#at = end;
    }
    this.#sending = false;
    clearTimeout(this.#unread);
    if (this.#at < this.#body.length) this.#unread = setTimeout(() => this.#giveUp(), UNREAD_MS_MAX);
    else {
      this.#call.finish();
      this.#end();
    }
  }

  /** Its head has promised more than there was: the client sees that it was cut short. */
  #giveUp(): void {
    this.#call.finishWithStatus({ code: Code.CANCELLED, message: "etcdproxy: the page is not read" });
    this.#end();
  }

  #end(): void {
    clearTimeout(this.#unread);
    this.#body = NO_BYTES;
    this.#ended = true;
    this.#over?.abort();
  }

  // From the call.

  onRequestBytes(_bytes: Uint8Array, start: number, end: number): void {
    this.#call.consume(end - start);
  }

  onRequestEnd(): void {}

  onAnswerSent(bytes: number): void {
    this.#queuedBytes -= bytes;
    if (this.#at > 0) this.#sendMore();
  }

  onCancel(): void {
    this.#end();
  }
}

/** Answers a request that is not served. */
export function refuseOverHttp2(call: ServerCall, status: number, reason: string): void {
  call.receiver = { ...NO_RECEIVER, onRequestBytes: (_bytes, start, end) => call.consume(end - start) };
  const body = new TextEncoder().encode(`etcdproxy: ${reason}\n`);
  call.sendHead([
    headerField(":status", String(status)),
    headerField("content-type", "text/plain; charset=utf-8"),
    headerField("content-length", String(body.length)),
  ]);
  call.sendMessageBytes(body, 0, body.length);
  call.finish();
}
