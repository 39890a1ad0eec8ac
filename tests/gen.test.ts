// What src/gen promises the rest of the program: it is what buf makes of proto/ today, it declares etcd's whole
// client API, and its messages have etcd's bytes and JSON names. The list of methods and the bytes below are
// written from the API's facts, not derived from proto/, so that a slip there fails here.
import { create, createRegistry, fromBinary, toBinary, toJson } from "@bufbuild/protobuf";
import type { DescMessage, DescMethod, MessageInitShape } from "@bufbuild/protobuf";
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { file_authpb_auth, PermissionSchema } from "../src/gen/authpb/auth_pb.ts";
import { AuthUserAddRequestSchema, file_etcdserverpb_auth } from "../src/gen/etcdserverpb/auth_pb.ts";
import {
  file_etcdserverpb_cluster,
  MemberListRequestSchema,
  MemberSchema,
} from "../src/gen/etcdserverpb/cluster_pb.ts";
import { file_etcdserverpb_header, ResponseHeaderSchema } from "../src/gen/etcdserverpb/header_pb.ts";
import {
  CompareSchema,
  file_etcdserverpb_kv,
  PutRequestSchema,
  RangeRequest_SortTarget,
  RangeRequestSchema,
  RangeStreamResponseSchema,
  RequestOpSchema,
} from "../src/gen/etcdserverpb/kv_pb.ts";
import {
  file_etcdserverpb_lease,
  LeaseCheckpointSchema,
  LeaseGrantRequestSchema,
  LeaseGrantResponseSchema,
  LeaseTimeToLiveResponseSchema,
} from "../src/gen/etcdserverpb/lease_pb.ts";
import {
  AlarmRequest_AlarmAction,
  AlarmRequestSchema,
  AlarmType,
  file_etcdserverpb_maintenance,
  HashKVResponseSchema,
  MoveLeaderRequestSchema,
  SnapshotResponseSchema,
  StatusResponseSchema,
} from "../src/gen/etcdserverpb/maintenance_pb.ts";
import {
  file_etcdserverpb_watch,
  WatchCreateRequest_FilterType,
  WatchCreateRequestSchema,
  WatchRequestSchema,
  WatchResponseSchema,
} from "../src/gen/etcdserverpb/watch_pb.ts";
import { Event_EventType, EventSchema, file_mvccpb_kv } from "../src/gen/mvccpb/kv_pb.ts";
import { file_v3electionpb_election, LeaderKeySchema } from "../src/gen/v3electionpb/election_pb.ts";
import { file_v3lockpb_lock, LockRequestSchema } from "../src/gen/v3lockpb/lock_pb.ts";

const projectFolder = join(import.meta.dir, "..");

const declaredFiles = [
  file_authpb_auth,
  file_mvccpb_kv,
  file_etcdserverpb_header,
  file_etcdserverpb_kv,
  file_etcdserverpb_watch,
  file_etcdserverpb_lease,
  file_etcdserverpb_cluster,
  file_etcdserverpb_maintenance,
  file_etcdserverpb_auth,
  file_v3lockpb_lock,
  file_v3electionpb_election,
];

describe("src/gen", () => {
  const temporaryFolders: string[] = [];
  afterAll(async () => {
    for (const folder of temporaryFolders) await rm(folder, { recursive: true });
  });

  test("is what `bun run generate` makes of proto/", async () => {
    const folder = await mkdtemp(join(tmpdir(), "etcdproxy-gen-"));
    temporaryFolders.push(folder);
    await runScript("generate", "--output", folder);

    const committed = await readFolder(join(projectFolder, "src/gen"));
    const fresh = await readFolder(join(folder, "src/gen"));
    expect([...committed.keys()]).toEqual([...fresh.keys()]);
    const stale = [...fresh].filter(([path, text]) => committed.get(path) !== text).map(([path]) => path);
    expect(stale).toEqual([]);
  });

  test("is made of the eleven files that this test knows", async () => {
    const committed = await readFolder(join(projectFolder, "src/gen"));
    const known = declaredFiles.map((file) => `${file.name}_pb.ts`).sort();
    expect([...committed.keys()]).toEqual(known);
  });

  test("comes from a proto/ that passes buf's lint rules", async () => {
    await runScript("buf", "lint");
  });
});

describe("the declared API", () => {
  // Unary unless a word follows the colon.
  const methodsByService: Record<string, string> = {
    "etcdserverpb.KV": "Range RangeStream:server_streaming Put DeleteRange Txn Compact",
    "etcdserverpb.Watch": "Watch:bidi_streaming",
    "etcdserverpb.Lease": "LeaseGrant LeaseRevoke LeaseKeepAlive:bidi_streaming LeaseTimeToLive LeaseLeases",
    "etcdserverpb.Cluster": "MemberAdd MemberRemove MemberUpdate MemberList MemberPromote",
    "etcdserverpb.Maintenance":
      "Alarm Status Defragment Hash HashKV Snapshot:server_streaming MoveLeader Downgrade",
    "etcdserverpb.Auth":
      "AuthEnable AuthDisable AuthStatus Authenticate UserAdd UserGet UserList UserDelete UserChangePassword " +
      "UserGrantRole UserRevokeRole RoleAdd RoleGet RoleList RoleDelete RoleGrantPermission RoleRevokePermission",
    "v3lockpb.Lock": "Lock Unlock",
    "v3electionpb.Election": "Campaign Proclaim Leader Observe:server_streaming Resign",
  };
  const services = declaredFiles.flatMap((file) => file.services);

  test("has etcd's eight services and their 49 methods", () => {
    expect(services.map((service) => service.typeName).sort()).toEqual(Object.keys(methodsByService).sort());
    expect(services.flatMap((service) => service.methods)).toHaveLength(49);
  });

  test.each(Object.entries(methodsByService))("%s has etcd's methods, each of its kind", (name, methods) => {
    const service = services.find((candidate) => candidate.typeName === name);
    expect(service?.methods.map(nameWithKind)).toEqual(methods.split(" "));
  });

  test("has 117 messages and ten enums", () => {
    const types = [...createRegistry(...declaredFiles)];
    expect(types.filter((type) => type.kind === "message")).toHaveLength(117);
    expect(types.filter((type) => type.kind === "enum")).toHaveLength(10);
  });
});

describe("on the wire", () => {
  const z = new Uint8Array([0x7a]);

  test("Compare.range_end is field 64", () => {
    expect(hex(CompareSchema, { rangeEnd: z })).toBe("8204017a");
  });

  test("a Compare with a lease of 0 says so: members of a oneof are sent even when zero", () => {
    expect(hex(CompareSchema, { targetUnion: { case: "lease", value: 0n } })).toBe("4000");
  });

  test("RequestOp.request_txn is field 4", () => {
    expect(hex(RequestOpSchema, { request: { case: "requestTxn", value: {} } })).toBe("2200");
  });

  test("RangeRequest has sort_target at 6, max_create_revision at 13", () => {
    const init = { sortTarget: RangeRequest_SortTarget.VALUE, maxCreateRevision: 1n };
    expect(hex(RangeRequestSchema, init)).toBe("30046801");
  });

  test("PutRequest.ignore_lease is field 6", () => {
    expect(hex(PutRequestSchema, { ignoreLease: true })).toBe("3001");
  });

  test("a piece of RangeStream wraps a RangeResponse as field 1", () => {
    expect(hex(RangeStreamResponseSchema, { rangeResponse: { more: true } })).toBe("0a021801");
  });

  test("a progress request is the empty field 3 of WatchRequest", () => {
    expect(hex(WatchRequestSchema, { requestUnion: { case: "progressRequest", value: {} } })).toBe("1a00");
  });

  test("the filters of a watch are packed", () => {
    const filters = [WatchCreateRequest_FilterType.NOPUT, WatchCreateRequest_FilterType.NODELETE];
    expect(hex(WatchCreateRequestSchema, { filters })).toBe("2a020001");
  });

  test("WatchResponse.events is field 11", () => {
    expect(hex(WatchResponseSchema, { events: [{}] })).toBe("5a00");
  });

  test("watch id -1 is ten bytes, not zigzag", () => {
    expect(hex(WatchResponseSchema, { watchId: -1n })).toBe("10ffffffffffffffffff01");
  });

  test("a deletion is event type 1", () => {
    expect(hex(EventSchema, { type: Event_EventType.DELETE })).toBe("0801");
  });

  test("LeaseGrant has TTL before ID in the request, after it in the response", () => {
    expect(hex(LeaseGrantRequestSchema, { TTL: 5n, ID: 7n })).toBe("08051007");
    expect(hex(LeaseGrantResponseSchema, { TTL: 5n, ID: 7n })).toBe("10071805");
  });

  test("LeaseTimeToLiveResponse has grantedTTL at 4, keys at 5", () => {
    expect(hex(LeaseTimeToLiveResponseSchema, { grantedTTL: 5n, keys: [z] })).toBe("20052a017a");
  });

  test("member ids are unsigned 64-bit numbers", () => {
    expect(hex(ResponseHeaderSchema, { memberId: 2n ** 64n - 1n })).toBe("10ffffffffffffffffff01");
  });

  test("Member.isLearner is field 5, MemberListRequest.linearizable field 1", () => {
    expect(hex(MemberSchema, { isLearner: true })).toBe("2801");
    expect(hex(MemberListRequestSchema, { linearizable: true })).toBe("0801");
  });

  test("AlarmRequest has action, memberID, alarm as fields 1 to 3", () => {
    const init = { action: AlarmRequest_AlarmAction.DEACTIVATE, memberID: 9n, alarm: AlarmType.CORRUPT };
    expect(hex(AlarmRequestSchema, init)).toBe("080210091802");
  });

  test("HashKVResponse.hash_revision is field 4", () => {
    expect(hex(HashKVResponseSchema, { hashRevision: 1n })).toBe("2001");
  });

  test("SnapshotResponse.version is field 4", () => {
    expect(hex(SnapshotResponseSchema, { version: "z" })).toBe("22017a");
  });

  test("StatusResponse has dbSizeQuota at 12, downgradeInfo at 13", () => {
    expect(hex(StatusResponseSchema, { dbSizeQuota: 1n, downgradeInfo: {} })).toBe("60016a00");
  });

  test("AuthUserAddRequest has options at 3, hashedPassword at 4", () => {
    expect(hex(AuthUserAddRequestSchema, { options: {}, hashedPassword: "z" })).toBe("1a0022017a");
  });

  test("the names of locks and elections are bytes", () => {
    expect(hex(LockRequestSchema, { name: new Uint8Array([0xff]), lease: 1n })).toBe("0a01ff1001");
    expect(hex(LeaderKeySchema, { name: new Uint8Array([0xff]), rev: 1n })).toBe("0a01ff1801");
  });
});

describe("in JSON", () => {
  test.each([
    ["ID and TTL", toJsonOf(LeaseGrantRequestSchema, { TTL: 5n, ID: 7n }), { TTL: "5", ID: "7" }],
    ["remaining_TTL", toJsonOf(LeaseCheckpointSchema, { remainingTTL: 5n }), { remainingTTL: "5" }],
    ["peerURLs", toJsonOf(MemberSchema, { peerURLs: ["http://a"] }), { peerURLs: ["http://a"] }],
    ["memberID", toJsonOf(AlarmRequestSchema, { memberID: 9n }), { memberID: "9" }],
    ["targetID", toJsonOf(MoveLeaderRequestSchema, { targetID: 9n }), { targetID: "9" }],
    ["permType", toJsonOf(PermissionSchema, { permType: 2 }), { permType: "READWRITE" }],
  ])("%s keeps its spelling", (_, json, expected) => {
    expect(json).toEqual(expected);
  });
});

describe("what a newer etcd adds", () => {
  // Field 1 is the key "a"; 1000 and 1001 are fields that no etcd has yet: a varint and a string.
  const keyAndUnknownFields = "0a0161" + "c03e07" + "ca3e026869";

  test("survives decoding and encoding as unknown fields, in order", () => {
    expect(decodedAndEncoded(RangeRequestSchema, keyAndUnknownFields)).toBe(keyAndUnknownFields);
  });

  test("survives in a message inside a oneof", () => {
    const requestOp = "0a0b" + keyAndUnknownFields;
    expect(decodedAndEncoded(RequestOpSchema, requestOp)).toBe(requestOp);
  });

  test("survives as an unknown member of a oneof", () => {
    expect(decodedAndEncoded(WatchRequestSchema, "2a020801")).toBe("2a020801");
  });

  test("survives as an unknown value of an enum", () => {
    expect(decodedAndEncoded(EventSchema, "0863")).toBe("0863");
  });
});

/** Runs one of the project's scripts or tools; throws what it printed if it fails. */
async function runScript(...scriptAndArguments: string[]): Promise<void> {
  const script = Bun.spawn([process.execPath, "run", ...scriptAndArguments], {
    cwd: projectFolder,
    stdout: "pipe",
    stderr: "pipe",
  });
  const [output, errors] = await Promise.all([script.stdout.text(), script.stderr.text()]);
  if ((await script.exited) !== 0) {
    throw new Error(`bun run ${scriptAndArguments.join(" ")} failed:\n${output}${errors}`);
  }
}

/** The files below a folder: text by path relative to it, sorted by path. */
async function readFolder(folder: string): Promise<Map<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const texts = await Promise.all(paths.map((path) => readFile(path, "utf8")));
  const files = paths.map((path, index): [string, string] => [
    path.slice(folder.length + 1),
    texts[index] ?? "",
  ]);
  return new Map(files.sort(([left], [right]) => (left < right ? -1 : 1)));
}

function nameWithKind(method: DescMethod): string {
  return method.methodKind === "unary" ? method.name : `${method.name}:${method.methodKind}`;
}

function hex<Desc extends DescMessage>(schema: Desc, init: MessageInitShape<Desc>): string {
  return toBinary(schema, create(schema, init)).toHex();
}

function toJsonOf<Desc extends DescMessage>(schema: Desc, init: MessageInitShape<Desc>): unknown {
  return toJson(schema, create(schema, init));
}

function decodedAndEncoded(schema: DescMessage, bytesAsHex: string): string {
  return toBinary(schema, fromBinary(schema, Uint8Array.fromHex(bytesAsHex))).toHex();
}
