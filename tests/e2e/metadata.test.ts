/**
 * What passes a proxy besides messages: metadata both ways, the time left, bytes nobody understands. Seen from
 * both ends, so the member is a stand-in that tells what arrived.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import * as grpc from "@grpc/grpc-js";
import { type EtcdproxyProcess, startGateway, startGrpcProxy } from "../harness/etcdproxy-process.ts";
import { GrpcClient, statusOf } from "../harness/grpc-client.ts";
import { waitFor } from "../harness/wait-for.ts";
import { ECHO_PATH, EchoMember, SILENCE } from "./echo-member.ts";

setDefaultTimeout(60_000);

const HEADER_BYTES = Buffer.from([0, 1, 2, 0xfe, 0xff]);
const TRAILER_BYTES = Buffer.from("trailer \u{1f511}");
const TIMEOUT_MS = 20_000;

let member: EchoMember;
let gateway: EtcdproxyProcess;
let grpcProxy: EtcdproxyProcess;
const addressOf: Readonly<Record<string, () => string>> = {
  direct: () => member.endpoint,
  gateway: () => gateway.address,
  grpcProxy: () => grpcProxy.address,
};

beforeAll(async () => {
  const headers = new grpc.Metadata();
  headers.set("answer-text", "hello");
  headers.set("answer-bin", HEADER_BYTES);
  const trailers = new grpc.Metadata();
  trailers.set("trailer-bin", TRAILER_BYTES);
  member = await EchoMember.start(headers, trailers);
  gateway = await startGateway([member.endpoint]);
  grpcProxy = await startGrpcProxy([member.endpoint]);
}, 60_000);

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await grpcProxy[Symbol.asyncDispose]();
  await member[Symbol.asyncDispose]();
});

describe.each(["direct", "gateway", "grpcProxy"])("%s", (target) => {
  const open = (options: grpc.ClientOptions = {}): GrpcClient =>
    new GrpcClient(addressOf[target]!(), options);

  test("a request's metadata arrives, binary values too", async () => {
    using client = open();
    const metadata = { token: "a token", "trace-bin": HEADER_BYTES, "x-empty": "" };
    await client.callBytes(ECHO_PATH, new Uint8Array(3), { metadata });
    const arrived = member.calls.at(-1)!.metadata;
    expect(arrived.get("token")).toEqual(["a token"]);
    expect(arrived.get("trace-bin")).toEqual([HEADER_BYTES]);
    expect(arrived.get("x-empty")).toEqual([""]);
  });

  test("an answer's headers and trailers come back, binary values too", async () => {
    using client = open();
    const { headers, status } = await client.callBytes(ECHO_PATH, new Uint8Array(3));
    expect(headers.get("answer-text")).toEqual(["hello"]);
    expect(headers.get("answer-bin")).toEqual([HEADER_BYTES]);
    expect(status.metadata.get("trailer-bin")).toEqual([TRAILER_BYTES]);
  });

  test("the member is given the time that is left of the deadline, and none without one", async () => {
    using client = open();
    await client.callBytes(ECHO_PATH, new Uint8Array(3), { timeoutMs: TIMEOUT_MS });
    const { leftMs } = member.calls.at(-1)!;
    expect(leftMs).toBeGreaterThan(0);
    expect(leftMs).toBeLessThanOrEqual(TIMEOUT_MS);
    await client.callBytes(ECHO_PATH, new Uint8Array(3));
    expect(member.calls.at(-1)!.leftMs).toBe(Number.POSITIVE_INFINITY);
  });

  test("a call that is not answered in time ends DEADLINE_EXCEEDED, and at the member too", async () => {
    using client = open();
    const before = member.cancelled;
    const options = { timeoutMs: 200, metadata: { [SILENCE]: "please" } };
    const { code } = await statusOf(client.callBytes(ECHO_PATH, new Uint8Array(3), options));
    expect(code).toBe(4);
    await waitFor("the member to hear of it", () => member.cancelled > before);
  });

  test("a message goes through byte for byte, whatever is in it", async () => {
    using client = open();
    const noMessage = new Uint8Array(70_000).map((_, index) => (index * 7) % 256);
    const { message } = await client.callBytes(ECHO_PATH, noMessage);
    expect(Buffer.from(member.calls.at(-1)!.message).equals(noMessage)).toBe(true);
    expect(Buffer.from(message).equals(noMessage)).toBe(true);
  });

  test("a compressed message goes through", async () => {
    using client = open({ "grpc.default_compression_algorithm": 2 });
    const message = new Uint8Array(10_000).fill(7);
    expect((await client.callBytes(ECHO_PATH, message)).message).toEqual(message);
    expect(Buffer.from(member.calls.at(-1)!.message).equals(message)).toBe(true);
  });

  test("an empty message goes through", async () => {
    using client = open();
    expect((await client.callBytes(ECHO_PATH, new Uint8Array(0))).message).toHaveLength(0);
  });
});
