/** What a namespace does to single messages, field by field; `properties/namespace.test.ts` has its laws. */
import {
  create,
  type DescField,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  ScalarType,
  toBinary,
} from "@bufbuild/protobuf";
import { describe, expect, test } from "bun:test";
import { type MessageKeys, messageKeysOf, methodKeysOf } from "../../src/etcd/key-fields.ts";
import { Namespace, rangeEndOf, RequestOutsideNamespace } from "../../src/etcd/namespace.ts";
import { namespaceRefusal, WHOLE_CLUSTER_METHODS } from "../../src/etcd/namespace-rules.ts";
import { MalformedMessage } from "../../src/etcd/protobuf-cursor.ts";
import { methodPath, SERVICES } from "../../src/etcd/services.ts";
import {
  DeleteRangeRequestSchema,
  PutResponseSchema,
  RangeRequestSchema,
  RangeResponseSchema,
  TxnRequestSchema,
} from "../../src/gen/etcdserverpb/kv_pb.ts";
import { LeaseTimeToLiveResponseSchema } from "../../src/gen/etcdserverpb/lease_pb.ts";
import { WatchRequestSchema } from "../../src/gen/etcdserverpb/watch_pb.ts";
import { LeaderRequestSchema, ProclaimRequestSchema } from "../../src/gen/v3electionpb/election_pb.ts";
import { LockRequestSchema, UnlockRequestSchema } from "../../src/gen/v3lockpb/lock_pb.ts";
import { MESSAGE_PREFIX_BYTES } from "../../src/grpc/message-scanner.ts";

const encoder = new TextEncoder();
const bytes = (text: string): Uint8Array => encoder.encode(text);
const namespace = new Namespace(bytes("ns/"));

function payload(framed: Uint8Array): Uint8Array {
  expect(new DataView(framed.buffer).getUint32(1)).toBe(framed.length - MESSAGE_PREFIX_BYTES);
  return framed.subarray(MESSAGE_PREFIX_BYTES);
}

function toMember<Desc extends DescMessage>(schema: Desc, request: MessageInitShape<Desc>) {
  const message = toBinary(schema, create(schema, request));
  return fromBinary(schema, payload(namespace.toMember(messageKeysOf(schema)!, message, 0, message.length)));
}

/** The request of these hexadecimal digits as members see it. */
function encoded(keys: MessageKeys, digits: string): string {
  const message = Buffer.from(digits.replaceAll(" ", ""), "hex");
  return Buffer.from(payload(namespace.toMember(keys, message, 0, message.length))).toString("hex");
}

function toClient<Desc extends DescMessage>(schema: Desc, answer: MessageInitShape<Desc>) {
  const message = toBinary(schema, create(schema, answer));
  return fromBinary(schema, payload(namespace.toClient(messageKeysOf(schema)!, message, 0, message.length)));
}

describe("a request", () => {
  test("has its key prefixed, and everything else as it was", () => {
    const request = { key: bytes("a"), limit: 7n, serializable: true, minModRevision: 3n };
    expect(toMember(RangeRequestSchema, request)).toEqual(
      create(RangeRequestSchema, { ...request, key: bytes("ns/a") }),
    );
  });

  test("of a range has both ends prefixed", () => {
    expect(toMember(RangeRequestSchema, { key: bytes("a"), rangeEnd: bytes("b") })).toMatchObject({
      key: bytes("ns/a"),
      rangeEnd: bytes("ns/b"),
    });
  });

  test("from a key on ends where the namespace does", () => {
    expect(toMember(DeleteRangeRequestSchema, { key: bytes("a"), rangeEnd: bytes("\0") })).toMatchObject({
      key: bytes("ns/a"),
      rangeEnd: bytes("ns0"),
    });
  });

  // Members up to 3.6 take it for "\0", and read on behind the namespace.
  test("with an empty end, rather than none, is of one key, and has none", () => {
    const request = encoded(messageKeysOf(RangeRequestSchema)!, "0a0161 1200 1807");
    expect(request).toBe("0a046e732f611807");
    const compare = encoded(messageKeysOf(TxnRequestSchema)!, "0a08 1a0161 820400 0801");
    expect(compare).toBe("0a081a046e732f610801");
  });

  test("whose end is given and taken back is refused", () => {
    expect(() => encoded(messageKeysOf(RangeRequestSchema)!, "0a0161 120162 1200")).toThrow(MalformedMessage);
  });

  test("of all keys is one of all keys of the namespace", () => {
    expect(toMember(RangeRequestSchema, { key: bytes("\0"), rangeEnd: bytes("\0") })).toMatchObject({
      key: bytes("ns/\0"),
      rangeEnd: bytes("ns0"),
    });
  });

  test.each([
    ["Range", RangeRequestSchema, {}],
    ["Range to an end", RangeRequestSchema, { rangeEnd: bytes("\0") }],
    ["DeleteRange", DeleteRangeRequestSchema, { rangeEnd: bytes("z") }],
    ["Unlock", UnlockRequestSchema, {}],
    ["Proclaim", ProclaimRequestSchema, { leader: { name: bytes("e") } }],
    ["Compare in a Txn", TxnRequestSchema, { compare: [{}] }],
    [
      "Put in a nested Txn",
      TxnRequestSchema,
      {
        success: [
          {
            request: {
              case: "requestTxn",
              value: { failure: [{ request: { case: "requestPut", value: {} } }] },
            },
          },
        ],
      },
    ],
  ] as const)("without a key is refused as at a member: %s", (_name, schema, request) => {
    expect(() => toMember<DescMessage>(schema, request)).toThrow(
      new RequestOutsideNamespace({ code: 3, message: "etcdserver: key is not provided" }),
    );
  });

  test("of a watch without a key is one from the smallest key", () => {
    const created = (value: object) =>
      toMember(WatchRequestSchema, { requestUnion: { case: "createRequest", value } }).requestUnion.value;
    expect(created({})).toMatchObject({ key: bytes("ns/\0"), rangeEnd: new Uint8Array(0) });
    expect(created({ rangeEnd: bytes("\0"), startRevision: 4n })).toMatchObject({
      key: bytes("ns/\0"),
      rangeEnd: bytes("ns0"),
      startRevision: 4n,
    });
  });

  test("with an empty name has the prefix for its name", () => {
    expect(toMember(LockRequestSchema, { lease: 5n })).toMatchObject({ name: bytes("ns/"), lease: 5n });
    expect(toMember(LeaderRequestSchema, {})).toMatchObject({ name: bytes("ns/") });
    expect(toMember(ProclaimRequestSchema, { leader: { key: bytes("/1"), rev: 2n } })).toMatchObject({
      leader: { name: bytes("ns/"), key: bytes("ns//1"), rev: 2n },
    });
  });

  test("has keys that come twice prefixed twice, so that whichever counts lies inside", () => {
    const twice = Uint8Array.of(0x0a, 1, 0x61, 0x12, 1, 0, 0x0a, 2, 0x62, 0x63);
    const mapped = namespace.toMember(messageKeysOf(RangeRequestSchema)!, twice, 0, twice.length);
    expect(fromBinary(RangeRequestSchema, payload(mapped))).toMatchObject({
      key: bytes("ns/bc"),
      rangeEnd: bytes("ns0"),
    });
    expect(Buffer.from(mapped).toString("latin1")).toContain("ns/a");
  });

  test("with an empty key behind another one has none", () => {
    const emptied = Uint8Array.of(0x0a, 1, 0x61, 0x0a, 0);
    expect(() => namespace.toMember(messageKeysOf(RangeRequestSchema)!, emptied, 0, emptied.length)).toThrow(
      "key is not provided",
    );
  });

  test("keeps fields that are not known", () => {
    const unknown = Uint8Array.of(0x0a, 1, 0x61, 0xf8, 0x7f, 9);
    const mapped = namespace.toMember(messageKeysOf(RangeRequestSchema)!, unknown, 0, unknown.length);
    expect([...payload(mapped)]).toEqual([0x0a, 4, 0x6e, 0x73, 0x2f, 0x61, 0xf8, 0x7f, 9]);
  });

  test.each([
    ["a transaction", TxnRequestSchema, Uint8Array.of(0x22, 0)],
    ["an operation of a transaction", TxnRequestSchema, Uint8Array.of(0x12, 2, 0x2a, 0)],
    ["a request of a watch stream", WatchRequestSchema, Uint8Array.of(0x22, 0)],
  ] as const)(
    "with a field that is not known is refused where that may name keys: %s",
    (_name, schema, message) => {
      expect(() => namespace.toMember(messageKeysOf(schema)!, message, 0, message.length)).toThrow(
        /^etcdproxy: field \d of \w+ is not known here, and may have keys outside of --namespace$/,
      );
    },
  );

  test.each([
    ["is cut short", Uint8Array.of(0x0a, 5, 0x61)],
    ["has a number for a key", Uint8Array.of(0x08, 5)],
    ["has no tag", Uint8Array.of(0x00)],
  ])("that %s is malformed", (_what, message) => {
    expect(() => namespace.toMember(messageKeysOf(RangeRequestSchema)!, message, 0, message.length)).toThrow(
      MalformedMessage,
    );
  });

  test("with transactions that lie too deep in each other is malformed", () => {
    let request: MessageInitShape<typeof TxnRequestSchema> = {};
    for (let depth = 0; depth < 70; depth++) {
      request = { success: [{ request: { case: "requestTxn", value: request } }] };
    }
    expect(() => toMember(TxnRequestSchema, request)).toThrow(/more than \d+ deep/);
  });
});

describe("an answer", () => {
  test("has its keys without the prefix, and everything else as it was", () => {
    const kvs = [
      { key: bytes("ns/a"), value: bytes("ns/value"), modRevision: 9n },
      { key: bytes("ns/ns/b"), version: 1n },
    ];
    expect(toClient(RangeResponseSchema, { kvs, more: true, count: 5n })).toEqual(
      create(RangeResponseSchema, {
        kvs: [
          { ...kvs[0], key: bytes("a") },
          { ...kvs[1], key: bytes("ns/b") },
        ],
        more: true,
        count: 5n,
      }),
    );
  });

  test.each([bytes("other"), bytes("ns"), bytes("ns0")])("that tells of the key %p is none", (key) => {
    expect(() => toClient(PutResponseSchema, { prevKv: { key } })).toThrow("a key outside of the namespace");
  });

  test("about a lease tells of the keys of the namespace alone", () => {
    const keys = [bytes("a"), bytes("ns/a"), bytes("ns/"), bytes("ns"), bytes("z"), bytes("ns/b")];
    expect(toClient(LeaseTimeToLiveResponseSchema, { TTL: 3n, keys, grantedTTL: 4n })).toEqual(
      create(LeaseTimeToLiveResponseSchema, { TTL: 3n, grantedTTL: 4n, keys: [bytes("a"), bytes("b")] }),
    );
  });

  test("with a message that crosses 128 bytes has its shorter length", () => {
    const key = bytes(`ns/${"k".repeat(125)}`);
    expect(toClient(PutResponseSchema, { prevKv: { key } })).toMatchObject({
      prevKv: { key: key.subarray(3) },
    });
  });
});

describe("the end of a prefix's range", () => {
  test.each([
    [[0x61], [0x62]],
    [[0x61, 0xff], [0x62]],
    [
      [0x61, 0xfe],
      [0x61, 0xff],
    ],
    [[0xff, 0xff], [0]],
  ])("of %p is %p", (prefix, end) => {
    expect([...rangeEndOf(Uint8Array.from(prefix))]).toEqual(end);
  });
});

/** Fields of bytes that are no keys, or keys of a kind that no namespace changes. */
const NO_KEYS = new Set([
  "etcdserverpb.PutRequest.value",
  "etcdserverpb.Compare.value",
  "mvccpb.KeyValue.value",
  "v3electionpb.CampaignRequest.value",
  "v3electionpb.ProclaimRequest.value",
  "etcdserverpb.SnapshotResponse.blob",
  // What roles allow is the whole cluster's.
  "authpb.Permission.key",
  "authpb.Permission.range_end",
  "etcdserverpb.AuthRoleRevokePermissionRequest.key",
  "etcdserverpb.AuthRoleRevokePermissionRequest.range_end",
]);

test("all fields of bytes in etcd's API are keys that are mapped, or known to be none", () => {
  const seen = new Set<DescMessage>();
  const unmapped: string[] = [];
  const visit = (message: DescMessage): void => {
    if (seen.has(message)) return;
    seen.add(message);
    for (const field of message.fields) {
      if (field.message !== undefined) visit(field.message);
      else if (isBytes(field) && !isMapped(message, field)) {
        unmapped.push(`${message.typeName}.${field.name}`);
      }
    }
  };
  for (const method of SERVICES.flatMap(({ methods }) => methods)) {
    visit(method.input);
    visit(method.output);
  }
  expect(unmapped.filter((name) => !NO_KEYS.has(name))).toEqual([]);
  expect(unmapped.toSorted()).toEqual([...NO_KEYS].toSorted());
});

function isMapped(message: DescMessage, field: DescField): boolean {
  return typeof messageKeysOf(message)?.fields[field.number] === "string";
}

function isBytes(field: DescField): boolean {
  const scalar =
    field.fieldKind === "list" ? (field.listKind === "scalar" ? field.scalar : undefined) : field.scalar;
  return scalar === ScalarType.BYTES;
}

describe("methods", () => {
  const methods = SERVICES.flatMap((service) => service.methods);

  test("that act on the whole cluster have no keys that are mapped", () => {
    const mapped = [...WHOLE_CLUSTER_METHODS].filter((method) => {
      const { request, answer } = methodKeysOf(method);
      return request !== null || answer !== null;
    });
    expect(mapped).toEqual([]);
  });

  test("are refused as a whole only where the operator asked for it", () => {
    expect(methods.filter((method) => namespaceRefusal(method, false) !== null)).toEqual([]);
    const refused = methods.filter((method) => namespaceRefusal(method, true) !== null);
    expect(new Set(refused)).toEqual(new Set(WHOLE_CLUSTER_METHODS));
  });

  test("that are left to clients are those of keys, leases and who they are", () => {
    const left = methods.filter((method) => namespaceRefusal(method, true) === null).map(methodPath);
    expect(left.toSorted()).toEqual([
      "/etcdserverpb.Auth/AuthStatus",
      "/etcdserverpb.Auth/Authenticate",
      "/etcdserverpb.Cluster/MemberList",
      "/etcdserverpb.KV/DeleteRange",
      "/etcdserverpb.KV/Put",
      "/etcdserverpb.KV/Range",
      "/etcdserverpb.KV/RangeStream",
      "/etcdserverpb.KV/Txn",
      "/etcdserverpb.Lease/LeaseGrant",
      "/etcdserverpb.Lease/LeaseKeepAlive",
      "/etcdserverpb.Lease/LeaseRevoke",
      "/etcdserverpb.Lease/LeaseTimeToLive",
      "/etcdserverpb.Maintenance/Alarm",
      "/etcdserverpb.Maintenance/Status",
      "/etcdserverpb.Watch/Watch",
      "/v3electionpb.Election/Campaign",
      "/v3electionpb.Election/Leader",
      "/v3electionpb.Election/Observe",
      "/v3electionpb.Election/Proclaim",
      "/v3electionpb.Election/Resign",
      "/v3lockpb.Lock/Lock",
      "/v3lockpb.Lock/Unlock",
    ]);
  });

  test("that are not known are refused always", () => {
    expect(namespaceRefusal(undefined, false)).toMatchObject({ code: 12 });
  });
});
