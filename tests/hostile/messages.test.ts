/** Messages and header sections that are larger, deeper or stranger than they look. */
import { describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { methodPath } from "../../src/etcd/services.ts";
import { Cluster } from "../../src/gen/etcdserverpb/cluster_pb.ts";
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { Lease } from "../../src/gen/etcdserverpb/lease_pb.ts";
import { Watch } from "../../src/gen/etcdserverpb/watch_pb.ts";
import type { BareClient } from "../faults/bare-client.ts";
import { MIB } from "../faults/memory.ts";
import { framed } from "../grpc/stand-in-member.ts";
import { waitFor, withDeadline } from "../harness/wait-for.ts";
import {
  concat,
  data,
  END_HEADERS,
  END_STREAM,
  frame,
  HEADERS,
  PREFACE,
  rstStream,
  settings,
  text,
  uint32,
} from "../http2/frames.ts";
import { literalBlock, type LiteralFields, prefixedInteger, requestBlock } from "../http2/literal-block.ts";
import { useScene } from "./scene.ts";

const scene = useScene({ flags: ["--advertise-client-url=http://127.0.0.1:2379"] });

/** DATA frames that carry `bytes`, the last with END_STREAM. */
function dataFrames(streamId: number, bytes: Uint8Array): Uint8Array {
  const frames: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += 16_384) {
    const end = at + 16_384;
    frames.push(data(streamId, bytes.subarray(at, end), end >= bytes.length ? END_STREAM : 0));
  }
  return concat(frames);
}

function call(path: string, body: Uint8Array, more: LiteralFields = []): Uint8Array {
  return concat([frame(HEADERS, END_HEADERS, 1, requestBlock(path, more)), dataFrames(1, body)]);
}

/** Waits until the proxy has answered stream 1, by whatever means. */
async function answered(client: BareClient): Promise<void> {
  const before = client.receivedBytes;
  await waitFor("an answer", () => client.receivedBytes > before + 9 || client.isClosed);
}

describe("messages that say to be large", () => {
  const methods = [
    KV.method.range,
    KV.method.txn,
    KV.method.put,
    Watch.method.watch,
    Lease.method.leaseKeepAlive,
    Cluster.method.memberList,
  ];
  test.each(methods.map((method) => [method.name, method] as const))(
    "a prefix of 4 GiB - 1: %s",
    async (_name, method) => {
      using client = await scene.http2();
      await scene.attack(
        async () => {
          const prefix = concat([Uint8Array.of(0), uint32(0xffff_ffff)]);
          client.send(frame(HEADERS, END_HEADERS, 1, requestBlock(methodPath(method))), data(1, prefix));
          await answered(client);
        },
        { limit: "messageSize", growthBytesMax: 32 * MIB },
      );
      // Connect's handlers, which serve what the proxy answers itself, refuse it too, and tell nobody.
      if (method !== Cluster.method.memberList) await scene.limitLine("messageSize", client);
    },
  );

  test("a message beyond --max-send-bytes, sent in full", async () => {
    using client = await scene.http2();
    await scene.attack(
      async () => {
        client.send(call(methodPath(KV.method.put), framed(new Uint8Array(2 * MIB))));
        await answered(client);
      },
      { limit: "messageSize" },
    );
    await scene.limitLine("messageSize", client);
  });
});

describe("gzip bombs", () => {
  /** A thousandth of what it inflates to, 192 MiB: it fits into a stream's window. */
  const bomb = ((): Uint8Array => {
    const piece = gzipSync(new Uint8Array(64 * MIB).fill(0x20));
    return concat([piece, piece, piece]);
  })();
  const path = methodPath(KV.method.range);
  const compressed = (message: Uint8Array): Uint8Array => {
    const envelope = framed(message);
    envelope[0] = 1;
    return envelope;
  };
  const http1 = (fields: string, body: Uint8Array, at = path): Uint8Array =>
    concat([
      text(`POST ${at} HTTP/1.1\r\nHost: etcd\r\n${fields}Content-Length: ${body.length}\r\n\r\n`),
      body,
    ]);
  const http2 = (fields: LiteralFields, body: Uint8Array, at = path): Uint8Array =>
    concat([
      PREFACE,
      settings(),
      frame(
        HEADERS,
        END_HEADERS,
        1,
        literalBlock([[":method", "POST"], [":scheme", "http"], [":path", at], ...fields]),
      ),
      dataFrames(1, body),
    ]);
  const bombs: readonly (readonly [how: string, sent: Uint8Array])[] = [
    [
      "Connect JSON over HTTP/1.1",
      http1("Content-Type: application/json\r\nContent-Encoding: gzip\r\n", bomb),
    ],
    [
      "Connect JSON over HTTP/2",
      http2(
        [
          ["content-type", "application/json"],
          ["content-encoding", "gzip"],
        ],
        bomb,
      ),
    ],
    [
      "Connect protobuf over HTTP/2",
      http2(
        [
          ["content-type", "application/proto"],
          ["content-encoding", "gzip"],
        ],
        bomb,
      ),
    ],
    [
      "gRPC-Web over HTTP/1.1",
      http1("Content-Type: application/grpc-web+proto\r\ngrpc-encoding: gzip\r\n", compressed(bomb)),
    ],
    [
      "gRPC-Web over HTTP/2",
      http2(
        [
          ["content-type", "application/grpc-web+proto"],
          ["grpc-encoding", "gzip"],
        ],
        compressed(bomb),
      ),
    ],
    [
      "gRPC to a method that the proxy answers itself",
      http2(
        [
          ["content-type", "application/grpc"],
          ["te", "trailers"],
          ["grpc-encoding", "gzip"],
        ],
        compressed(bomb),
        methodPath(Cluster.method.memberList),
      ),
    ],
  ];
  test.each(bombs)("%s", async (_how, sent) => {
    using client = await scene.connect();
    await scene.attack(
      async () => {
        client.send(sent);
        await answered(client);
      },
      { limit: "inflatedMessage", growthBytesMax: 96 * MIB },
    );
    await scene.limitLine("inflatedMessage", client);
  });

  test("for a member pass as they are, and the proxy never inflates them", async () => {
    using client = await scene.http2();
    await scene.attack(
      async () => {
        client.send(call(path, compressed(bomb), [["grpc-encoding", "gzip"]]));
        await answered(client);
      },
      { growthBytesMax: 32 * MIB },
    );
  });
});

describe("messages that are deeply nested", () => {
  /** `depth` messages, each in field `tag` of the one around it. */
  function nested(tag: number, depth: number): Uint8Array {
    const prefixes: Uint8Array[] = [];
    let size = 0;
    for (let i = 0; i < depth; i++) {
      const length = varint(size);
      prefixes.push(concat([Uint8Array.of(tag), length]));
      size += 1 + length.length;
    }
    return concat(prefixes.toReversed());
  }
  function varint(value: number): Uint8Array {
    const octets: number[] = [];
    let rest = value;
    for (; rest >= 128; rest = Math.floor(rest / 128)) octets.push((rest % 128) + 128);
    octets.push(rest);
    return Uint8Array.from(octets);
  }
  /** TxnRequest.success (2) holds RequestOp.request_txn (4), and so on. */
  function nestedTxn(depth: number): Uint8Array {
    const at: Uint8Array[] = [];
    let size = 0;
    for (let i = 0; i < depth; i++) {
      const inner = concat([Uint8Array.of(0x22), varint(size)]);
      const outer = concat([Uint8Array.of(0x12), varint(size + inner.length)]);
      at.push(inner, outer);
      size += inner.length + outer.length;
    }
    return concat(at.toReversed());
  }
  const groups = (depth: number): Uint8Array => new Uint8Array(depth).fill(0x9b); // Field 19, start of a group.
  const deep: readonly (readonly [what: string, path: string, message: Uint8Array])[] = [
    ["Txn in Txn", methodPath(KV.method.txn), nestedTxn(10_000)],
    ["Txn in Txn, as much as there may be", methodPath(KV.method.txn), nestedTxn(25_000)],
    ["groups in a Txn", methodPath(KV.method.txn), groups(200_000)],
    ["groups in a Range", methodPath(KV.method.range), groups(200_000)],
    ["groups in a Watch", methodPath(Watch.method.watch), groups(200_000)],
    ["groups in a heartbeat", methodPath(Lease.method.leaseKeepAlive), groups(200_000)],
    [
      "groups in a MemberList, which the proxy decodes",
      methodPath(Cluster.method.memberList),
      groups(200_000),
    ],
    ["a message in a message in a Watch", methodPath(Watch.method.watch), nested(0x0a, 50_000)],
  ];
  test.each(deep)("%s", async (_what, path, message) => {
    using client = await scene.http2();
    await scene.attack(async () => {
      client.send(call(path, framed(message)));
      await answered(client);
    });
  });

  const json = (open: string, close: string, depth: number): string =>
    open.repeat(depth) + close.repeat(depth);
  const documents: readonly (readonly [what: string, type: string, path: string, body: Uint8Array])[] = [
    ["lists in JSON", "application/json", methodPath(KV.method.range), text(json("[", "]", 700_000))],
    [
      "objects in JSON",
      "application/json",
      methodPath(KV.method.range),
      text(json('{"a":', "}", 200_000).replace("}", "1}")),
    ],
    [
      "Txn in Txn in JSON",
      "application/json",
      methodPath(KV.method.txn),
      text(`${'{"success":[{"requestTxn":'.repeat(30_000)}{}${"}]}".repeat(30_000)}`),
    ],
    ["Txn in Txn in protobuf", "application/proto", methodPath(KV.method.txn), nestedTxn(10_000)],
    ["groups in protobuf", "application/proto", methodPath(KV.method.range), groups(200_000)],
  ];
  test.each(documents)("Connect: %s", async (_what, type, path, body) => {
    using client = await scene.connect();
    await scene.attack(
      async () => {
        client.send(
          text(
            `POST ${path} HTTP/1.1\r\nHost: etcd\r\nContent-Type: ${type}\r\nContent-Length: ${body.length}\r\n\r\n`,
          ),
          body,
        );
        await answered(client);
      },
      { growthBytesMax: 256 * MIB },
    );
    expect(client.receivedText).toStartWith("HTTP/1.1 ");
  });
});

describe("header sections", () => {
  const bad: readonly (readonly [what: string, block: Uint8Array])[] = [
    ["a name in upper case", requestBlock("/a", [["X-Upper", "1"]])],
    ["an empty name", requestBlock("/a", [["", "1"]])],
    ["a second :path", requestBlock("/a", [[":path", "/b"]])],
    [
      "a pseudo-header field behind others",
      literalBlock([
        [":method", "GET"],
        [":scheme", "http"],
        ["x", "y"],
        [":path", "/"],
      ]),
    ],
    [
      "no :path",
      literalBlock([
        [":method", "GET"],
        [":scheme", "http"],
      ]),
    ],
    [
      "an empty :path",
      literalBlock([
        [":method", "GET"],
        [":scheme", "http"],
        [":path", ""],
      ]),
    ],
    ["an unknown pseudo-header field", requestBlock("/a", [[":protocol2", "x"]])],
    [":status in a request", requestBlock("/a", [[":status", "200"]])],
    ["connection", requestBlock("/a", [["connection", "close"]])],
    ["transfer-encoding", requestBlock("/a", [["transfer-encoding", "chunked"]])],
    ["te other than trailers", requestBlock("/a", [["te", "gzip"]])],
    ["CR in a value", requestBlock("/a", [["x-note", "a\rb"]])],
    ["LF in a :path", requestBlock("/a\nb")],
    ["NUL in a value", requestBlock("/a", [["x-note", "a\0b"]])],
    ["NUL in a :path", requestBlock("/a\0b")],
    [
      "two content-lengths",
      requestBlock("/a", [
        ["content-length", "1"],
        ["content-length", "2"],
      ]),
    ],
    ["a content-length with a sign", requestBlock("/a", [["content-length", "+1"]])],
  ];
  test.each(bad)("%s costs its stream, and no more", async (_what, block) => {
    using client = await scene.http2();
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block));
    const reset = Buffer.from(rstStream(1, 1)).toString("latin1");
    await waitFor("RST_STREAM", () => client.receivedText.includes(reset));
    expect(client.isClosed).toBe(false);
  });

  const odd: readonly (readonly [what: string, path: string | Uint8Array])[] = [
    ["no slash", "health"],
    ["spaces", "/a b"],
    ["percent signs that encode nothing", "/%zz%f%"],
    ["octets that are no UTF-8", Uint8Array.of(0x2f, 0xff, 0xfe, 0xc0, 0x80)],
    ["a path as long as there may be", `/${"a".repeat(16_000)}`],
    ["a path of a page with a query that never ends", `/health?${"%00".repeat(5000)}`],
  ];
  test.each(odd)("a path of %s is answered", async (_what, path) => {
    using client = await scene.http2();
    const block = literalBlock([
      [":method", "GET"],
      [":scheme", "http"],
      [":path", path],
    ]);
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block));
    await waitFor("an answer", () => client.receivedBytes > 80);
    expect(client.isClosed).toBe(false);
    await scene.serves();
  });

  test("HPACK bombs: references that make a small block a large list", async () => {
    using client = await scene.http2();
    await scene.attack(
      async () => {
        // One entry that fills the dynamic table, then references to it: 4 KiB for each octet.
        const entry = concat([
          Uint8Array.of(0x40, 1),
          text("a"),
          prefixedInteger(4000),
          text("b".repeat(4000)),
        ]);
        const references = new Uint8Array(12_000).fill(0x80 | 62);
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, concat([requestBlock("/a"), entry])));
        const bomb = concat([requestBlock("/a"), references]);
        await client.flood((i) =>
          i === 200
            ? null
            : concat(
                Array.from({ length: 10 }, (_, k) =>
                  frame(HEADERS, END_HEADERS | END_STREAM, 3 + 2 * (10 * i + k), bomb),
                ),
              ),
        );
      },
      { limit: "headerList" },
    );
    await scene.limitLine("headerList", client);
  });

  test("a section of 1 MiB ends the connection", async () => {
    using client = await scene.http2();
    await scene.attack(
      async () => {
        const block = requestBlock(`/${"a".repeat(MIB)}`);
        client.send(frame(HEADERS, 0, 1, block.subarray(0, 16_384)));
        for (let at = 16_384; at < block.length; at += 16_384)
          client.send(frame(9, 0, 1, block.subarray(at, at + 16_384)));
        await withDeadline(client.closed, () => "the connection to be cut");
      },
      { limit: "headerBlock" },
    );
    await scene.limitLine("headerBlock", client);
  });

  test("a frame longer than there may be ends the connection", async () => {
    using client = await scene.http2();
    await scene.attack(
      async () => {
        client.send(Uint8Array.of(0xff, 0xff, 0xff, 0, 0), uint32(1));
        await withDeadline(client.closed, () => "the connection to be cut");
      },
      { limit: "frameSize" },
    );
    await scene.limitLine("frameSize", client);
  });
});

describe("garbage", () => {
  /** Octets that depend on `seed` only. */
  function garbage(seed: number, length: number): Uint8Array {
    let state = seed;
    return Uint8Array.from({ length }, () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state >>> 24;
    });
  }

  test("as the first bytes, behind the greeting, in frames and as messages, from many clients", async () => {
    await scene.attack(async () => {
      for (let seed = 0; seed < 100; seed++) {
        const bytes = garbage(seed, 4096);
        const request = frame(HEADERS, END_HEADERS, 1, requestBlock(methodPath(KV.method.range)));
        const said = [
          bytes,
          concat([PREFACE, bytes]),
          concat([PREFACE, settings(), bytes]),
          concat([PREFACE, settings(), frame(seed % 12, seed % 256, seed % 4, bytes)]),
          concat([PREFACE, settings(), frame(HEADERS, END_HEADERS, 1, bytes)]),
          concat([PREFACE, settings(), request, data(1, framed(bytes), END_STREAM)]),
          concat([PREFACE, settings(), request, data(1, bytes, END_STREAM)]),
        ];
        const clients = await Promise.all(said.map(() => scene.connect()));
        for (const [index, client] of clients.entries()) client.send(said[index]!);
        await Promise.race([Promise.all(clients.map(({ closed }) => closed)), Bun.sleep(5)]);
        for (const client of clients) client.reset();
      }
    });
  });
});
