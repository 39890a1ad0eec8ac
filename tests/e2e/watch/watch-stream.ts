/**
 * One Watch call of a grpc-js client, as a test reads it: the answers to its creates in order, each watch's
 * events, each watch's end.
 *
 * Invariant: whatever etcd promises of every stream is checked of every answer as it comes (order, each revision
 * once and whole, nothing before `created` and nothing after `canceled`, a full header); a breach fails the next
 * thing that the test awaits.
 */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { ClientDuplexStream, StatusObject } from "@grpc/grpc-js";
import {
  Watch,
  type WatchCreateRequest,
  WatchCreateRequestSchema,
  type WatchRequest,
  WatchRequestSchema,
  type WatchResponse,
} from "../../../src/gen/etcdserverpb/watch_pb.ts";
import { type Event, Event_EventType } from "../../../src/gen/mvccpb/kv_pb.ts";
import type { CallOptions, GrpcClient } from "../../harness/grpc-client.ts";
import { withDeadline } from "../../harness/wait-for.ts";
import { bytes } from "../methods/side.ts";

/** Keys from `key` to below `rangeEnd`; the one key without it; all from `key` on when it is "\0". */
export interface WatchedRange {
  readonly key: string;
  readonly rangeEnd?: string;
}

export type WatchOptions = Partial<
  Pick<WatchCreateRequest, "startRevision" | "progressNotify" | "filters" | "prevKv" | "watchId" | "fragment">
>;

export type ChangeKind = "put" | "delete";

const ANSWERS_SHOWN = 12;
const VALUE_SHOWN_BYTES = 24;

export class WatchStream implements Disposable {
  /** All answers, in the order they came. */
  readonly answers: WatchResponse[] = [];
  /** Whether the call has ended. */
  ended = false;
  readonly #status: Promise<StatusObject>;
  readonly #call: ClientDuplexStream<WatchRequest, WatchResponse>;
  readonly #created: WatchResponse[] = [];
  #createdTaken = 0;
  readonly #watches = new Map<bigint, WatchLog>();
  readonly #breaches: string[] = [];
  readonly #waiting = new Set<() => void>();

  constructor(client: GrpcClient, options: CallOptions = {}) {
    this.#call = client.bidirectional(Watch.method.watch, options);
    this.#call.on("data", (answer: WatchResponse) => this.#take(answer));
    this.#call.on("error", () => {}); // The status says the same.
    this.#status = new Promise((resolve) => {
      this.#call.on("status", (status: StatusObject) => {
        this.ended = true;
        resolve(status);
        this.#wake();
      });
    });
  }

  /** Sends a create request. */
  create({ key, rangeEnd = "" }: WatchedRange, options: WatchOptions = {}): void {
    const value = create(WatchCreateRequestSchema, {
      ...options,
      key: bytes(key),
      rangeEnd: bytes(rangeEnd),
    });
    this.send({ requestUnion: { case: "createRequest", value } });
  }

  /** Sends a create request and waits for its answer; nothing else may have been asked and not awaited. */
  async open(range: WatchedRange, options: WatchOptions = {}): Promise<WatchResponse> {
    this.create(range, options);
    const answer = await this.nextCreated();
    if (answer.canceled) throw new Error(`a watch was refused: ${describedAnswer(answer)}`);
    return answer;
  }

  /** Sends a cancel request. */
  cancel(watchId: bigint): void {
    this.send({ requestUnion: { case: "cancelRequest", value: { watchId } } });
  }

  requestProgress(): void {
    this.send({ requestUnion: { case: "progressRequest", value: {} } });
  }

  send(request: MessageInitShape<typeof WatchRequestSchema>): void {
    this.sendMessage(create(WatchRequestSchema, request));
  }

  /** Sends a request with the fields that no generated code knows, too. */
  sendMessage(request: WatchRequest): void {
    this.#call.write(request);
  }

  /** Sends no more. */
  halfClose(): void {
    this.#call.end();
  }

  /** The next answer with `created` that was not taken yet, a refusal too. */
  async nextCreated(): Promise<WatchResponse> {
    const index = this.#createdTaken++;
    return this.until(`the answer to create request #${index + 1}`, () => this.#created[index]);
  }

  async nextCreations(count: number): Promise<WatchResponse[]> {
    const answers: WatchResponse[] = [];
    while (answers.length < count) answers.push(await this.nextCreated());
    return answers;
  }

  /** The answer that ends the watch which has this id now, or had it last. */
  canceled(watchId: bigint): Promise<WatchResponse> {
    return this.until(`the end of watch ${watchId}`, () => this.#watches.get(watchId)?.end);
  }

  /** Waits until a watch has been told of `count` events; gives all that it was told of, described. */
  async events(watchId: bigint, count: number): Promise<readonly string[]> {
    const seen = (): readonly string[] => this.seen(watchId);
    return this.until(
      () => `${count} events of watch ${watchId}, of which came ${seen().length}`,
      () => (seen().length >= count ? seen() : undefined),
    );
  }

  /** What a watch has been told of until now, described. */
  seen(watchId: bigint): readonly string[] {
    return this.#watches.get(watchId)?.events ?? [];
  }

  /** The first thing but `undefined` and `false` that `probe` gives; asked again after each answer that comes. */
  async until<Value>(
    what: string | (() => string),
    probe: () => Value | undefined | false,
  ): Promise<Exclude<Value, undefined | false>> {
    let wake: (() => void) | undefined;
    const found = new Promise<Exclude<Value, undefined | false>>((resolve, reject) => {
      wake = () => {
        const value = probe();
        if (this.#breaches.length > 0) reject(new Error(this.#told(this.#breaches.join("\n"))));
        else if (value !== undefined && value !== false) resolve(value as Exclude<Value, undefined | false>);
        else if (this.ended) void this.#status.then((status) => reject(this.#endedEarly(what, status)));
      };
      this.#waiting.add(wake);
      wake();
    });
    try {
      return await withDeadline(found, () => this.#told(inWords(what)));
    } finally {
      if (wake !== undefined) this.#waiting.delete(wake);
    }
  }

  /** How the call ended, once it has; for every code, OK or not. */
  over(): Promise<StatusObject> {
    return withDeadline(this.#status, () => this.#told("the end of the stream"));
  }

  /** Gives the call up. */
  close(): void {
    this.#call.cancel();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #endedEarly(what: string | (() => string), { code, details }: StatusObject): Error {
    return new Error(this.#told(`the stream ended with ${code} ${details} before ${inWords(what)}`));
  }

  #told(what: string): string {
    const last = this.answers.slice(-ANSWERS_SHOWN).map(describedAnswer);
    return `${what}\nThe last of ${this.answers.length} answers:\n${last.join("\n")}`;
  }

  #take(answer: WatchResponse): void {
    this.answers.push(answer);
    const breach = this.#breach(answer);
    if (breach !== undefined) this.#breaches.push(`${breach}: ${describedAnswer(answer)}`);
    this.#wake();
  }

  /** Notes the answer; gives what is wrong with it. */
  #breach(answer: WatchResponse): string | undefined {
    const { header, watchId, created, canceled } = answer;
    if (header === undefined) return "an answer without a header";
    if (header.clusterId === 0n || header.memberId === 0n || header.raftTerm === 0n) {
      return "a header without cluster, member or term";
    }
    if (created) {
      this.#created.push(answer);
      if (header.revision <= 0n) return "a `created` without a revision";
      if (canceled) return watchId === -1n ? undefined : "a refused watch with an id";
      const live = this.#watches.get(watchId);
      if (live !== undefined && live.end === undefined) return `watch ${watchId} was created twice`;
      this.#watches.set(watchId, new WatchLog(header.revision));
      return undefined;
    }
    if (watchId === -1n) return answer.events.length > 0 || canceled ? "no watch has the id -1" : undefined;
    const watch = this.#watches.get(watchId);
    return watch === undefined ? `watch ${watchId} was never created` : watch.take(answer);
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
  }
}

/** What one watch has been told. */
class WatchLog {
  readonly events: string[] = [];
  end: WatchResponse | undefined;
  #revision = 0n;
  #headerRevision: bigint;
  #continues = false;

  constructor(createdRevision: bigint) {
    this.#headerRevision = createdRevision;
  }

  /** Notes an answer; gives what is wrong with it. */
  take(answer: WatchResponse): string | undefined {
    if (this.end !== undefined) return "an answer for a watch that has ended";
    const headerRevision = answer.header!.revision;
    if (answer.canceled) {
      this.end = answer;
      return answer.events.length > 0 ? "events in the end of a watch" : undefined;
    }
    const [first] = answer.events;
    if (first === undefined) {
      if (headerRevision < this.#headerRevision) return `the revision goes back from ${this.#headerRevision}`;
      this.#headerRevision = headerRevision;
      return this.#continues ? "a fragment was to follow" : undefined;
    }
    // With events etcd tells its present revision, the proxy that of the last event: clients resume behind it.
    const begins = first.kv!.modRevision;
    if (this.#continues ? begins < this.#revision : begins <= this.#revision) {
      return `revision ${begins} after ${this.#revision}`;
    }
    this.#continues = answer.fragment;
    return this.#takeEvents(answer.events, headerRevision);
  }

  #takeEvents(events: readonly Event[], headerRevision: bigint): string | undefined {
    for (const event of events) {
      const { modRevision } = event.kv!;
      if (modRevision < this.#revision) return `revision ${modRevision} after ${this.#revision}`;
      this.#revision = modRevision;
      this.events.push(describedEvent(event));
    }
    return this.#revision > headerRevision ? "an event above the header's revision" : undefined;
  }
}

/** A range of all keys that begin with `prefix`, whose last character is an ASCII one. */
export function prefixRange(prefix: string): WatchedRange {
  const last = prefix.charCodeAt(prefix.length - 1);
  return { key: prefix, rangeEnd: prefix.slice(0, -1) + String.fromCharCode(last + 1) };
}

/** `put a=1 @7 was 0`: the form in which events are compared. */
export function describedChange(
  kind: ChangeKind,
  key: string,
  value: string,
  revision: bigint,
  previous?: string,
): string {
  const now = kind === "put" ? `put ${key}=${shown(value)}` : `delete ${key}`;
  return `${now} @${revision}${previous === undefined ? "" : ` was ${shown(previous)}`}`;
}

function describedEvent({ type, kv, prevKv }: Event): string {
  const kind = type === Event_EventType.PUT ? "put" : "delete";
  const previous = prevKv === undefined ? undefined : text(prevKv.value);
  return describedChange(kind, text(kv!.key), text(kv!.value), kv!.modRevision, previous);
}

/** An answer in one line, for failures. */
export function describedAnswer(answer: WatchResponse): string {
  const { watchId, header, created, canceled, compactRevision, cancelReason, fragment, events } = answer;
  const flags = [created && "created", canceled && "canceled", fragment && "fragment"].filter(Boolean);
  const compacted = compactRevision === 0n ? "" : ` compacted at ${compactRevision}`;
  const reason = cancelReason === "" ? "" : ` "${cancelReason}"`;
  const told = events.slice(0, 3).map(describedEvent).join(", ");
  const count = events.length === 0 ? "" : ` ${events.length} events: ${told}`;
  return `watch ${watchId} at ${header?.revision} ${flags.join(" ")}${compacted}${reason}${count}`;
}

function text(value: Uint8Array): string {
  return Buffer.from(value).toString();
}

function shown(value: string): string {
  return value.length > VALUE_SHOWN_BYTES ? `${value.length} bytes` : value;
}

function inWords(what: string | (() => string)): string {
  return typeof what === "string" ? what : what();
}
