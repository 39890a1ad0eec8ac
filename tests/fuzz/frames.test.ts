/**
 * The HTTP/2 engine under damaged conversations: both ends stay within their bounds, let go of all that they held, write
 * nothing but valid frames, and do the same however the bytes are cut.
 */
import { describe, expect } from "bun:test";
import { POOLED_BLOCK_BYTES } from "../../src/base/buffer-pool.ts";
import { ByteWriter } from "../../src/base/byte-writer.ts";
import { HpackEncoder } from "../../src/hpack/encoder.ts";
import { headerField } from "../../src/hpack/header-field.ts";
import { BufferBudget } from "../../src/http2/buffer-budget.ts";
import { ClientConnection } from "../../src/http2/client-connection.ts";
import type { Connection } from "../../src/http2/connection.ts";
import type { ConnectionEnd, ConnectionOptions } from "../../src/http2/connection-handler.ts";
import { HTTP2_LIMITS } from "../../src/http2/limits.ts";
import { ServerConnection } from "../../src/http2/server-connection.ts";
import { defaultSettings } from "../../src/http2/settings.ts";
import type { Stream, StreamHandler } from "../../src/http2/stream.ts";
import type { SeededRandom } from "../faults/seeded-random.ts";
import {
  ACK,
  concat,
  CONTINUATION,
  data,
  END_HEADERS,
  END_STREAM,
  frame,
  goaway,
  HAS_PRIORITY,
  HEADERS,
  INITIAL_WINDOW_SIZE,
  paddedData,
  ping,
  PREFACE,
  priorityField,
  rstStream,
  SETTINGS,
  settings,
  windowUpdate,
} from "../http2/frames.ts";
import { type FieldList, fields, REQUEST, RESPONSE } from "../http2/wire.ts";
import { fuzz } from "./fuzz.ts";
import { garbage, mutated, pieces } from "./mutation.ts";
import { judgeOutput } from "./output-judge.ts";

const NOW_MS = 1_000;
const HELD_BYTES_MAX = 4_000;
const STREAMS_MAX = 6;
const RATE = { burst: 25, perSecond: 5 };
const OPTIONS: ConnectionOptions = {
  limits: {
    ...HTTP2_LIMITS,
    headerListBytesMax: 1_000,
    headerBlockBytesMax: 1_500,
    continuationFramesMax: 4,
    connectionBufferBytesMax: HELD_BYTES_MAX,
    resets: RATE,
    pings: RATE,
    settings: RATE,
    emptyData: RATE,
    idleFrames: RATE,
  },
  settings: { ...defaultSettings(), concurrentStreamsMax: STREAMS_MAX, initialWindowBytes: 3_000 },
};
const HEAD = [headerField(":status", "200"), headerField("content-type", "application/grpc")];
const TRAILERS = [headerField("grpc-status", "0")];
const HELD_REQUEST: FieldList = [...REQUEST.slice(0, 3), [":path", "/held"]];

/** By number: HEADER_TABLE_SIZE, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, and one of no meaning. */
const HARMLESS_SETTINGS: readonly (readonly [id: number, values: readonly number[]])[] = [
  [1, [0, 100, 4_096, 10_000]],
  [3, [0, 1, 100]],
  [4, [0, 1, 100, 65_535]],
  [5, [16_384, 20_000]],
  [9, [0, 1]],
];

/** One end of a connection, its owner, and the record of what it was told. */
class End<C extends Connection> {
  readonly told: string[] = [];
  readonly budget = new BufferBudget(1_000_000);
  readonly connection: C;
  readonly #role: "client" | "server";
  /** DATA bytes that were given to each stream to send. */
  readonly #answered = new Map<number, number>();
  #ends = 0;

  constructor(role: "client" | "server", make: (end: End<C>) => C) {
    this.#role = role;
    this.connection = make(this);
  }

  feed(chunk: Uint8Array): void {
    this.connection.receive(chunk, NOW_MS);
    const { heldBytes, streams, outbound } = this.connection;
    let streamBytes = 0;
    for (const stream of streams.all()) streamBytes += stream.queuedBytes + stream.unconsumedBytes;
    // Nobody reads the output: it counts, once it is more than a block of the pool.
    const exact = outbound.output.length >= POOLED_BLOCK_BYTES || heldBytes === streamBytes;
    if (!exact || heldBytes > HELD_BYTES_MAX || streams.size > STREAMS_MAX) {
      throw new Error(`${heldBytes} bytes are held, ${streamBytes} for the ${streams.size} streams`);
    }
  }

  /** The connection goes: nothing of it may be left. Returns what it did. */
  finish(): { told: readonly string[]; output: string } {
    this.connection.transportClosed("connection closed");
    const output = this.connection.outbound.output.toBytes();
    const ended = judgeOutput(this.#role, output);
    if (this.#role === "server") {
      // What was ended in good order is whole: none of its answer is missing in front of the end.
      for (const [id, dataBytes] of ended) expect([id, dataBytes]).toEqual([id, this.#answered.get(id) ?? 0]);
    }
    const { heldBytes, retainedBytes, streams } = this.connection;
    expect({
      heldBytes,
      retainedBytes,
      streams: streams.size,
      budget: this.budget.heldBytes,
      ends: this.#ends,
    }).toEqual({ heldBytes: 0, retainedBytes: 0, streams: 0, budget: 0, ends: 1 });
    this.connection.outbound.output.release();
    return { told: this.told, output: Buffer.from(output).toString("hex") };
  }

  onEnd(end: ConnectionEnd): void {
    this.#ends++;
    this.told.push(`end by ${end.cause} with ${end.code}`);
  }

  /** Answers what comes on a stream in kind; `held`: takes DATA and does not give it back. */
  owner(stream: () => Stream, held: boolean): StreamHandler {
    let over = false;
    const note = (line: string): void => {
      if (over) throw new Error(`stream ${stream().id} was told "${line}" after its end`);
      this.told.push(`${stream().id} ${line}`);
    };
    const answerEnd = (): void => {
      if (this.#role === "server") stream().sendTrailers(TRAILERS);
    };
    return {
      onResponse: (head, endStream) => note(`response ${head.status} ${endStream}`),
      onData: (bytes, start, end, endStream) => {
        note(`data ${Buffer.from(bytes.subarray(start, end)).toString("hex")} ${endStream}`);
        if (held) return;
        const { id } = stream();
        this.#answered.set(id, (this.#answered.get(id) ?? 0) + end - start);
        stream().sendData(bytes, start, end, false);
        stream().consume(end - start);
        if (endStream) answerEnd();
      },
      onTrailers: (list) => {
        note(`trailers ${list.map(({ name, value }) => `${name}=${value}`).join()}`);
        answerEnd();
      },
      onSent: (bytes) => note(`sent ${bytes}`),
      onReset: (reset) => {
        note(`reset by ${reset.cause} with ${reset.code}`);
        over = true;
      },
    };
  }
}

function serverEnd(): End<ServerConnection> {
  return new End("server", (end) => {
    const options = { ...OPTIONS, budget: end.budget };
    return new ServerConnection(options, {
      onOutput() {},
      onOutputLarge() {},
      onEnd: (what) => end.onEnd(what),
      onRequest(stream, head, endStream) {
        end.told.push(`${stream.id} request ${head.method} ${head.path} ${endStream}`);
        const held = head.path === "/held";
        stream.handler = end.owner(() => stream, held);
        stream.sendHeaders(HEAD, false);
        if (endStream && !held) stream.sendTrailers(TRAILERS);
      },
    });
  });
}

/** A client with open calls, of which every other one has ended its side. */
function clientEnd(first: Uint8Array): End<ClientConnection> {
  const client: End<ClientConnection> = new End("client", (end) => {
    const options = { ...OPTIONS, budget: end.budget };
    return new ClientConnection(options, {
      onOutput() {},
      onOutputLarge() {},
      onEnd: (what) => end.onEnd(what),
      onReady: () => end.told.push("ready"),
      onGoaway: (code, text) => end.told.push(`goaway ${code} ${text}`),
      onStreamEnded: () => end.told.push("a stream has ended"),
    });
  });
  client.feed(first);
  for (let call = 0; call < STREAMS_MAX; call++) {
    const stream: Stream = client.connection.open(
      fields(REQUEST),
      call % 2 === 0,
      client.owner(() => stream, call % 3 === 0),
    );
  }
  return client;
}

/** Writes what a peer may say, with the one encoder that a connection has. */
class Speaker {
  readonly #encoder = new HpackEncoder();
  readonly #random: SeededRandom;
  #nextStream: number;

  /** `opened`: how many streams the other side has opened before. */
  constructor(random: SeededRandom, opened: number) {
    this.#random = random;
    this.#nextStream = 1 + 2 * opened;
  }

  frames(count: number, ofServer: boolean): Uint8Array[] {
    return Array.from({ length: count }, () => this.#frame(ofServer));
  }

  #frame(ofServer: boolean): Uint8Array {
    const random = this.#random;
    if (random.chance(0.04)) return this.#mischief();
    if (this.#nextStream === 1) return this.#headers(this.#newStream(), this.#request(), 0);
    const id = this.#knownStream();
    const end = random.chance(0.2) ? END_STREAM : 0;
    switch (random.below(14)) {
      case 0:
      case 1:
      case 2:
      case 3:
        return this.#headers(ofServer ? id : this.#newStream(), ofServer ? RESPONSE : this.#request(), end);
      case 4:
        return this.#headers(id, [["grpc-status", "0"]], END_STREAM);
      case 5:
      case 6:
      case 7:
      case 8:
        return data(id, garbage(random, random.pick([5, 50, 900])), end);
      case 9:
        return paddedData(id, "x", random.below(40), end);
      case 10:
        return windowUpdate(random.chance(0.5) ? 0 : id, random.pick([1, 1_000, 65_535]));
      case 11:
        return rstStream(id, random.below(14));
      case 12:
        return ping("12345678", random.chance(0.3) ? ACK : 0);
      default: {
        const [setting, values] = random.pick(HARMLESS_SETTINGS);
        return random.chance(0.2) ? frame(SETTINGS, ACK, 0) : settings([setting, random.pick(values)]);
      }
    }
  }

  /** What ends a stream or the connection, mostly. */
  #mischief(): Uint8Array {
    const random = this.#random;
    const id = random.below(20);
    switch (random.below(6)) {
      case 0:
        return goaway(random.below(12), random.below(14), "bye");
      case 1:
        return settings([random.below(8), random.pick([0, 1, 100, 0x7fffffff, 0xffffffff])]);
      case 2:
        return windowUpdate(id, random.pick([0, 0x7fffffff]));
      case 3:
        return data(id, garbage(random, 4_000), 0);
      case 4:
        return rstStream(id, 8);
      default:
        return frame(random.below(14), random.below(256), id, garbage(random, 30));
    }
  }

  #knownStream(): number {
    return 1 + 2 * this.#random.below((this.#nextStream - 1) / 2);
  }

  #newStream(): number {
    const id = this.#nextStream;
    this.#nextStream += 2;
    return id;
  }

  #request(): FieldList {
    const random = this.#random;
    if (random.chance(0.2)) return HELD_REQUEST;
    if (random.chance(0.1)) return REQUEST.slice(random.below(4));
    if (random.chance(0.1)) return [...REQUEST, ["content-length", String(random.below(60))]];
    return random.chance(0.1) ? [...REQUEST, ["x-large", "v".repeat(random.below(2_000))]] : REQUEST;
  }

  /** HEADERS, now and then with padding, priority, and in pieces. */
  #headers(id: number, list: FieldList, flags: number): Uint8Array {
    const random = this.#random;
    const out = new ByteWriter();
    this.#encoder.encode(fields(list), out);
    let block = out.toBytes();
    let headFlags = flags;
    if (random.chance(0.1)) {
      block = concat([priorityField(random.chance(0.1) ? id : 0), block]);
      headFlags |= HAS_PRIORITY;
    }
    if (random.chance(0.7)) return frame(HEADERS, headFlags | END_HEADERS, id, block);
    const cut = random.below(block.length + 1);
    const parts = [block.subarray(0, cut), block.subarray(cut)];
    while (random.chance(0.2)) parts.splice(1, 0, new Uint8Array(0));
    return concat(
      parts.map((part, index) =>
        frame(
          index === 0 ? HEADERS : CONTINUATION,
          (index === 0 ? headFlags : 0) | (index === parts.length - 1 ? END_HEADERS : 0),
          id,
          part,
        ),
      ),
    );
  }
}

/** A conversation of a peer: some of its frames damaged, or all of it. */
function conversation(random: SeededRandom, opening: readonly Uint8Array[], ofServer: boolean): Uint8Array {
  const said = [
    ...opening,
    ...new Speaker(random, ofServer ? STREAMS_MAX : 0).frames(random.below(40), ofServer),
  ];
  const damage = random.pick([0, 0, 0.02, 0.2]);
  const bytes = concat(said.map((each) => (random.chance(damage) ? mutated(each, random, said) : each)));
  return random.chance(0.05) ? mutated(bytes, random) : bytes;
}

function sameForAnyChunking<C extends Connection>(
  random: SeededRandom,
  bytes: Uint8Array,
  fresh: () => End<C>,
): void {
  const whole = fresh();
  whole.feed(bytes);
  const cut = fresh();
  for (const chunk of pieces(bytes, random)) cut.feed(chunk);
  expect(cut.finish()).toEqual(whole.finish());
}

/** A peer's first SETTINGS, which may leave hardly any room to send in. */
function hello(random: SeededRandom): Uint8Array {
  return settings([INITIAL_WINDOW_SIZE, random.pick([0, 1, 50, 1_000, 65_535])]);
}

const INPUTS = { inputs: 600 };

describe("under a damaged conversation", () => {
  fuzz(
    "a server keeps its bounds, lets go of everything and writes valid frames, for any chunking",
    INPUTS,
    (random) => {
      const opening = random.chance(0.95) ? [PREFACE, hello(random)] : [PREFACE];
      sameForAnyChunking(random, conversation(random, opening, false), serverEnd);
    },
  );

  fuzz(
    "a client keeps its bounds, lets go of everything and writes valid frames, for any chunking",
    INPUTS,
    (random) => {
      const first = hello(random);
      sameForAnyChunking(random, conversation(random, [], true), () => clientEnd(first));
    },
  );
});

describe("under noise", () => {
  fuzz("a server ends in good order", { inputs: 500 }, (random) => {
    const bytes = concat([...(random.chance(0.7) ? [PREFACE, settings()] : []), garbage(random, 200)]);
    sameForAnyChunking(random, bytes, serverEnd);
  });

  fuzz("a client ends in good order", { inputs: 500 }, (random) => {
    sameForAnyChunking(random, garbage(random, 200), () => clientEnd(settings()));
  });
});
