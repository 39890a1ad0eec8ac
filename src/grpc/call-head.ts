/**
 * What a request's header section says of a gRPC call, and the section it goes upstream with.
 *
 * Read once for each distinct header section: clients repeat theirs, and the engine hands out the same
 * `RequestHead` for a repeated one. The upstream section is kept too, so a repeated call is sent with the
 * very same array and the header encoder finds its earlier bytes.
 */
import { type HeaderField, headerField } from "../hpack/header-field.ts";
import type { RequestHead } from "../http2/header-rules.ts";
import { formatTimeout, parseTimeout } from "./timeout.ts";

/** Fields of a request that are remade, or mean nothing, on the way to a member. */
const NOT_FORWARDED = new Set(["te", "content-length", "host", "grpc-timeout", "content-type"]);

export class CallHead {
  /** `/package.Service/Method`. */
  readonly path: string;
  readonly contentType: string;
  /** What the client gave the call, in milliseconds; `Infinity` when nothing. */
  readonly timeoutMs: number;
  /** Why the call cannot be served as it is, "" when it can. */
  readonly problem: string;
  /** The fields as they came, without pseudo-header fields. */
  readonly metadata: readonly HeaderField[];
  #authority = "";
  #upstreamFields: readonly HeaderField[] = [];
  #sharedAuthority = "";
  #sharedFields: readonly HeaderField[] = [];

  constructor(path: string, fields: readonly HeaderField[]) {
    this.path = path;
    this.metadata = fields.filter(({ name }) => !name.startsWith(":"));
    this.contentType = this.value("content-type") ?? "application/grpc";
    const timeout = this.value("grpc-timeout");
    const timeoutMs = timeout === undefined ? Number.POSITIVE_INFINITY : parseTimeout(timeout);
    this.timeoutMs = timeoutMs ?? Number.POSITIVE_INFINITY;
    this.problem = timeoutMs === undefined ? `malformed grpc-timeout: ${JSON.stringify(timeout)}` : "";
  }

  static ofRequest(head: RequestHead): CallHead {
    return new CallHead(head.path, head.fields);
  }

  /** The first value of a field. */
  value(name: string): string | undefined {
    return this.metadata.find((field) => field.name === name)?.value;
  }

  /** Its messages may be compressed, and so may the answer's: of several fields members take the last. */
  get mayBeCompressed(): boolean {
    return this.metadata.some(({ name, value }) => name === "grpc-encoding" && value !== "identity");
  }

  /** The request section for a member. `timeoutMs` is what is left of the deadline, `Infinity` for none. */
  upstreamFields(authority: string, timeoutMs: number): readonly HeaderField[] {
    if (authority !== this.#authority) {
      this.#authority = authority;
      this.#upstreamFields = [
        METHOD_POST,
        SCHEME_HTTP,
        headerField(":path", this.path),
        headerField(":authority", authority),
        headerField("content-type", this.contentType),
        TE_TRAILERS,
        ...this.metadata.filter(({ name }) => !NOT_FORWARDED.has(name)),
      ];
    }
    if (timeoutMs === Number.POSITIVE_INFINITY) return this.#upstreamFields;
    return [...this.#upstreamFields, headerField("grpc-timeout", formatTimeout(timeoutMs))];
  }

  /**
   * The request section for a member of a call whose answer is for several callers: of the caller's metadata only the first
   * field of each name in `shared`, always the same names. Whatever else he sends is his own: his deadline, leave to compress
   * which not all of them may have given, and fields that make a member refuse the call.
   */
  sharedUpstreamFields(authority: string, shared: ReadonlySet<string>): readonly HeaderField[] {
    if (authority !== this.#sharedAuthority) {
      this.#sharedAuthority = authority;
      const first = new Map<string, HeaderField>();
      for (const field of this.metadata) {
        if (shared.has(field.name) && !first.has(field.name)) first.set(field.name, field);
      }
      this.#sharedFields = [
        METHOD_POST,
        SCHEME_HTTP,
        headerField(":path", this.path),
        headerField(":authority", authority),
        CONTENT_TYPE_GRPC,
        TE_TRAILERS,
        ...first.values(),
      ];
    }
    return this.#sharedFields;
  }
}

const METHOD_POST = headerField(":method", "POST");
const SCHEME_HTTP = headerField(":scheme", "http");
const CONTENT_TYPE_GRPC = headerField("content-type", "application/grpc");
const TE_TRAILERS = headerField("te", "trailers");

/** True for the content types of gRPC over HTTP/2: `application/grpc`, with `+` and a codec or without. */
export function isGrpcContentType(contentType: string | undefined): boolean {
  if (contentType === undefined || !contentType.startsWith("application/grpc")) return false;
  const rest = contentType.charAt("application/grpc".length);
  return rest === "" || rest === "+" || rest === ";";
}
