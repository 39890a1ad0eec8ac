/** What a log shows of etcd's messages: nothing that is secret, and never more than fits a line. */
import { describe, expect, test } from "bun:test";
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import {
  create,
  type DescField,
  type DescMessage,
  fromBinary,
  type JsonValue,
  type MessageInitShape,
  ScalarType,
  toBinary,
  toJson,
} from "@bufbuild/protobuf";
import fc from "fast-check";
import { SERVICES } from "../../src/etcd/services.ts";
import { showingOf } from "../../src/etcd/shown-fields.ts";
import { shownMessage } from "../../src/etcd/shown-message.ts";
import { AuthenticateRequestSchema, AuthenticateResponseSchema } from "../../src/gen/etcdserverpb/auth_pb.ts";
import { PutRequestSchema, RangeResponseSchema, TxnRequestSchema } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { LeaseGrantResponseSchema } from "../../src/gen/etcdserverpb/lease_pb.ts";
import { SnapshotResponseSchema } from "../../src/gen/etcdserverpb/maintenance_pb.ts";
import { WatchCreateRequestSchema } from "../../src/gen/etcdserverpb/watch_pb.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** What is shown of a message that is kept whole. */
function shown<Schema extends DescMessage>(
  schema: Schema,
  message: MessageInitShape<Schema>,
  values = false,
): ReturnType<typeof shownMessage> {
  const encoded = toBinary(schema, create(schema, message));
  return shownMessage(schema, encoded, encoded.length, values);
}

/** Every message of etcd's API. */
const types: readonly DescMessage[] = (() => {
  const found = new Set<DescMessage>();
  const add = (type: DescMessage): void => {
    if (found.has(type)) return;
    found.add(type);
    for (const { message } of type.fields) if (message !== undefined) add(message);
  };
  for (const { input, output } of SERVICES.flatMap(({ methods }) => methods)) {
    add(input);
    add(output);
  }
  return [...found];
})();

function fieldsShown(how: string): string[] {
  const names = (field: DescField): string => `${field.parent.typeName}.${field.name}`;
  return types
    .flatMap(({ fields }) => fields)
    .filter((field) => field.scalar === ScalarType.BYTES || field.scalar === ScalarType.STRING)
    .filter((field) => showingOf(field, field.scalar === ScalarType.BYTES) === how)
    .map(names)
    .toSorted();
}

describe("the fields of etcd's API", () => {
  test("that are secret are known, and no others are", () => {
    expect(fieldsShown("secret")).toEqual([
      "etcdserverpb.AuthUserAddRequest.hashedPassword",
      "etcdserverpb.AuthUserAddRequest.password",
      "etcdserverpb.AuthUserChangePasswordRequest.hashedPassword",
      "etcdserverpb.AuthUserChangePasswordRequest.password",
      "etcdserverpb.AuthenticateRequest.password",
      "etcdserverpb.AuthenticateResponse.token",
    ]);
  });

  test("that are values are shown only to who asks for them", () => {
    expect(fieldsShown("value")).toEqual([
      "etcdserverpb.Compare.value",
      "etcdserverpb.PutRequest.value",
      "mvccpb.KeyValue.value",
      "v3electionpb.CampaignRequest.value",
      "v3electionpb.ProclaimRequest.value",
    ]);
  });

  test("that are neither keys nor values are told by their length", () => {
    expect(fieldsShown("length")).toEqual(["etcdserverpb.SnapshotResponse.blob"]);
  });

  test("are all of a kind that can be shown", () => {
    const odd = types
      .flatMap(({ fields }) => fields)
      .filter(({ fieldKind, scalar }) => {
        const varints = [
          ScalarType.BOOL,
          ScalarType.INT64,
          ScalarType.UINT64,
          ScalarType.UINT32,
          ScalarType.INT32,
        ];
        const texts = [ScalarType.BYTES, ScalarType.STRING];
        return fieldKind === "map" || (scalar !== undefined && ![...varints, ...texts].includes(scalar));
      });
    expect(odd.map(({ name }) => name)).toEqual([]);
  });
});

describe("a message", () => {
  test("shows its keys as text, and its values by their length", () => {
    expect(shown(PutRequestSchema, { key: bytes("a/b"), value: bytes("secret"), lease: 7n })).toEqual({
      content: { key: "a/b", value: "<6 bytes>", lease: "7" },
      cut: false,
      malformed: false,
    });
  });

  test("shows its values to who asks for them", () => {
    const { content } = shown(PutRequestSchema, { key: bytes("k"), value: bytes("v") }, true);
    expect(content).toEqual({ key: "k", value: "v" });
  });

  test.each([
    [[0x00, 0xff], "base64:AP8="],
    [[0x61, 0x0a], "base64:YQo="],
    [[0x1b, 0x5b], "base64:G1s="],
    [[0xc3, 0xa9], "é"],
  ])("with a key of the bytes %p shows %p", (key, text) => {
    expect(shown(PutRequestSchema, { key: Uint8Array.from(key) }).content).toEqual({ key: text });
  });

  test("never shows passwords and tokens, not even to who asks for values", () => {
    const request = shown(AuthenticateRequestSchema, { name: "root", password: "pw" }, true);
    expect(request.content).toEqual({ name: "root", password: "<hidden>" });
    expect(shown(AuthenticateResponseSchema, { token: "abc.1" }, true).content).toEqual({
      token: "<hidden>",
    });
  });

  test("never shows a snapshot, not even to who asks for values", () => {
    const { content } = shown(
      SnapshotResponseSchema,
      { blob: bytes("everything"), remainingBytes: 3n },
      true,
    );
    expect(content).toEqual({ blob: "<10 bytes>", remainingBytes: "3" });
  });

  test("of which only the beginning is there tells what that announces", () => {
    const value = new Uint8Array(1_000_000);
    const encoded = toBinary(
      PutRequestSchema,
      create(PutRequestSchema, { key: bytes("k"), value, lease: 5n }),
    );
    expect(shownMessage(PutRequestSchema, encoded.subarray(0, 100), encoded.length, false)).toEqual({
      content: { key: "k", value: "<1000000 bytes>" },
      cut: true,
      malformed: false,
    });
  });

  test("with a list that is long shows its beginning, and how many more there are", () => {
    const kvs = Array.from({ length: 30 }, (_, index) => ({ key: bytes(`k${index}`) }));
    const { content, cut } = shown(RangeResponseSchema, { kvs, count: 30n });
    expect((content["kvs"] as unknown[]).slice(-2)).toEqual([{ key: "k19" }, "… 10 more"]);
    expect({ count: content["count"], cut }).toEqual({ count: "30", cut: false });
  });

  test("shows enums by their names, packed or not", () => {
    const { content } = shown(WatchCreateRequestSchema, { key: bytes("k"), filters: [1, 0] });
    expect(content).toEqual({ key: "k", filters: ["NODELETE", "NOPUT"] });
  });

  test("shows numbers beyond what JSON's numbers hold as they are", () => {
    const { content } = shown(LeaseGrantResponseSchema, {
      header: { memberId: 0xffff_ffff_ffff_fffdn },
      ID: 0x7fff_ffff_ffff_fff1n,
      TTL: -1n,
    });
    expect(content).toEqual({
      header: { memberId: "18446744073709551613" },
      ID: "9223372036854775793",
      TTL: "-1",
    });
  });

  test("that is malformed shows what comes before, and says so", () => {
    const encoded = Uint8Array.of(0x0a, 1, 0x6b, 0x12, 50, 1);
    expect(shownMessage(PutRequestSchema, encoded, encoded.length, true)).toEqual({
      content: { key: "k" },
      cut: false,
      malformed: true,
    });
  });

  test("passes over fields that nobody knows, and their content with them", () => {
    const encoded = Uint8Array.of(0x0a, 1, 0x6b, 0xfa, 0x3e, 3, 0x70, 0x77, 0x21);
    expect(shownMessage(PutRequestSchema, encoded, encoded.length, true).content).toEqual({ key: "k" });
  });

  test("that is nested without end is cut", () => {
    let message: MessageInitShape<typeof TxnRequestSchema> = {};
    for (let depth = 0; depth < 40; depth++) {
      message = { success: [{ request: { case: "requestTxn", value: message } }] };
    }
    expect(shown(TxnRequestSchema, message)).toMatchObject({ cut: true, malformed: false });
  });
});

/** A message of the type, encoded, with fields of all kinds. */
function encodedOf(type: DescMessage, depth = 2): fc.Arbitrary<Uint8Array> {
  const fields = type.fields.filter(({ message }) => message === undefined || depth > 0);
  const parts = fields.map((field) =>
    fc.array(fieldOf(field, depth), { maxLength: field.fieldKind === "list" ? 3 : 1 }),
  );
  return fc.tuple(...parts).map((all) => {
    // As a library writes it: of fields that exclude each other one is left.
    const encoded: Uint8Array = Buffer.concat(all.flat());
    return toBinary(type, fromBinary(type, encoded));
  });
}

function fieldOf(field: DescField, depth: number): fc.Arbitrary<Uint8Array> {
  const writer = (): BinaryWriter => new BinaryWriter();
  if (field.message !== undefined) {
    return encodedOf(field.message, depth - 1).map((inner) =>
      writer().tag(field.number, 2).bytes(inner).finish(),
    );
  }
  if (isText(field)) {
    return fc.string({ maxLength: 8 }).map((text) => writer().tag(field.number, 2).string(text).finish());
  }
  if (field.enum !== undefined || field.scalar === ScalarType.UINT32) {
    return fc.nat(4).map((value) => writer().tag(field.number, 0).uint32(value).finish());
  }
  if (field.scalar === ScalarType.BOOL) {
    return fc.boolean().map((value) => writer().tag(field.number, 0).bool(value).finish());
  }
  const numbers = fc.oneof(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.nat(9).map(BigInt));
  return numbers.map((value) => writer().tag(field.number, 0).int64(value).finish());
}

const anyType = fc.constantFrom(...types);

test("whatever bytes come as whatever message, what is shown fits a line, and nothing throws", () => {
  fc.assert(
    fc.property(
      anyType.chain((type) => fc.tuple(fc.constant(type), fc.uint8Array({ maxLength: 3000 }))),
      fc.nat(5000),
      fc.boolean(),
      ([type, encoded], missing, values) => {
        const { content } = shownMessage(type, encoded, encoded.length + missing, values);
        expect(Buffer.byteLength(JSON.stringify(content))).toBeLessThan(3200);
      },
    ),
    { numRuns: 3000 },
  );
});

test("a message is shown as protobuf's JSON has it, but for its texts", () => {
  let compared = 0;
  const withoutBytes = (type: DescMessage, json: JsonValue): unknown => {
    const known = new Map(type.fields.map((field) => [field.jsonName, field]));
    return Object.fromEntries(
      Object.entries(json as Record<string, JsonValue>)
        .filter(([name]) => !isText(known.get(name)!))
        .map(([name, value]) => {
          const { message } = known.get(name)!;
          if (message === undefined) return [name, value];
          const inner = (item: JsonValue): unknown => withoutBytes(message, item);
          return [
            name,
            Array.isArray(value) ? value.filter((item) => typeof item !== "string").map(inner) : inner(value),
          ];
        }),
    );
  };
  fc.assert(
    fc.property(
      anyType.chain((type) => fc.tuple(fc.constant(type), encodedOf(type))),
      ([type, encoded]) => {
        const json = toJson(type, fromBinary(type, encoded));
        const { content, cut } = shownMessage(type, encoded, encoded.length, false);
        if (cut) return;
        compared++;
        expect(withoutBytes(type, content)).toEqual(withoutBytes(type, json));
      },
    ),
    { numRuns: 2000 },
  );
  expect(compared).toBeGreaterThan(1000);
});

function isText({ scalar }: DescField): boolean {
  return scalar === ScalarType.BYTES || scalar === ScalarType.STRING;
}
