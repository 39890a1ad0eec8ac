import { describe, expect, test, spyOn } from "bun:test";
import { type Spliced, Splicer } from "../../src/net/splice.ts";
import { readFileSync } from "node:fs";
import { until } from "../net/until.ts";
import { atRest } from "./at-rest.ts";
import { connectClient, type TcpPeer } from "./tcp-peer.ts";
import { testBlackHole, testGateway, testMember } from "./test-gateway.ts";

/** A client and the member it has reached through a gateway. */
async function connected() {
  const member = testMember();
  const gateway = await testGateway([member.port]);
  const client = await connectClient(gateway.port);
  return { gateway, client, member: await member.client(0) };
}

const nothingOpen = { connectionsOpen: 0 };

describe("bytes", () => {
  test("pass in both directions", async () => {
    const { client, member, gateway } = await connected();
    client.send("question");
    await until(() => member.text === "question");
    member.send("answer");
    await until(() => client.text === "answer");
    expect(gateway.stats).toMatchObject({ bytesUpstream: 8, bytesDownstream: 6, connectionsOpen: 1 });
  });

  test("that a client sends before its member is dialled are not lost", async () => {
    const member = testMember();
    const { port } = await testGateway([member.port]);
    const client = await connectClient(port);
    client.send("early");
    client.halfClose();
    const upstream = await member.client(0);
    await until(() => upstream.ended);
    expect(upstream.text).toBe("early");
  });
});

describe("a client that goes on sending while its member is dialled", () => {
  test("is held back behind its first words and one chunk, and no byte is lost or out of order", async () => {
    const hole = await testBlackHole();
    const server = testMember();
    const gateway = await testGateway([hole.port, server.port], { dialTimeoutMs: 1_000 });
    const client = await connectClient(gateway.port);
    client.send("first words");
    await until(() => gateway.stats.bytesUpstream === 11);
    const block = crypto.getRandomValues(new Uint8Array(65_536));
    client.send(block, 200);
    await until(() => gateway.stats.bytesUpstream > 11);
    const held = await atRest(() => gateway.stats.bytesUpstream);
    expect(server.clients).toHaveLength(0);
    expect(held).toBeLessThanOrEqual(11 + 512 * 1024); // What Bun reads at once.
    const member = await server.client(0);
    const expected = new Bun.CryptoHasher("sha1").update("first words");
    for (let sent = 0; sent < 200; sent++) expected.update(block);
    await until(() => member.receivedBytes === 11 + 200 * block.length);
    expect(member.digest).toBe(expected.digest("hex"));
  });
});

describe("a half-close", () => {
  test("by the client reaches the member, which still answers", async () => {
    const { client, member, gateway } = await connected();
    client.send("question");
    client.halfClose();
    await until(() => member.ended);
    expect(member.text).toBe("question");
    expect(client.ended).toBe(false);
    member.send("late answer");
    await until(() => client.text === "late answer");
    expect(member.closed).toBe("no");
    member.halfClose();
    await until(() => client.ended && gateway.stats.connectionsOpen === 0);
  });

  test("by the member reaches the client, which may still send", async () => {
    const { client, member, gateway } = await connected();
    member.send("goodbye");
    member.halfClose();
    await until(() => client.ended);
    expect(client.text).toBe("goodbye");
    client.send("one more thing");
    await until(() => member.text === "one more thing");
    client.halfClose();
    await until(() => member.ended && gateway.stats.connectionsOpen === 0);
  });

  test("by a client that has sent nothing reaches the member", async () => {
    const { client, member } = await connected();
    client.halfClose();
    await until(() => member.ended);
    member.send("hello");
    await until(() => client.text === "hello");
  });

  test("by both comes behind an answer that the client reads slowly", async () => {
    const { client, member, gateway } = await connected();
    client.readSlowly(1);
    client.halfClose();
    await until(() => member.ended);
    member.send(new Uint8Array(1 << 20), 30);
    await until(() => member.allSent);
    member.socket?.end();
    await until(() => client.closed !== "no");
    expect(client).toMatchObject({ receivedBytes: 30 << 20, closed: "orderly" });
    expect(gateway.stats).toMatchObject(nothingOpen);
  });

  test("by the client, then a reset by the member, reaches the client as a reset", async () => {
    const { client, member, gateway } = await connected();
    client.halfClose();
    await until(() => member.ended);
    member.reset();
    await until(() => client.closed === "reset");
    expect(gateway.stats).toMatchObject(nothingOpen);
  });

  test("comes behind every byte that was sent before it", async () => {
    const { client, member } = await connected();
    const megabyte = new Uint8Array(1 << 20).fill(7);
    member.readSlowly(1);
    client.send(megabyte, 20);
    await until(() => client.allSent);
    client.halfClose();
    await until(() => member.ended);
    expect(member.receivedBytes).toBe(20 * megabyte.length);
  });
});

describe("a reset", () => {
  test("by the client reaches the member at once", async () => {
    const { client, member, gateway } = await connected();
    client.reset();
    await until(() => member.closed !== "no");
    expect(member.closed).toBe("reset");
    expect(gateway.stats).toMatchObject(nothingOpen);
  });

  test("by the member reaches the client at once", async () => {
    const { client, member, gateway } = await connected();
    member.reset();
    await until(() => client.closed !== "no");
    expect(client.closed).toBe("reset");
    expect(gateway.stats).toMatchObject(nothingOpen);
  });

  test("overtakes bytes that the other side does not read", async () => {
    const { client, member, gateway } = await connected();
    member.socket?.pause();
    client.send(new Uint8Array(1 << 20), 100);
    await until(() => gateway.stats.bytesUpstream > 1 << 20);
    client.reset();
    await until(() => member.closed === "reset");
    expect(gateway.stats).toMatchObject(nothingOpen);
  });
});

describe("backpressure", () => {
  const MEGABYTES = 150;

  /** The most that the kernel holds of one direction over two connections, and one chunk in the gateway. */
  function inFlightBytesMax(): number {
    const largest = (file: string): number =>
      Number(readFileSync(`/proc/sys/net/ipv4/${file}`, "utf8").trim().split(/\s+/)[2]);
    return 2 * (largest("tcp_rmem") + largest("tcp_wmem")) + 512 * 1024;
  }

  test("holds a fast sender back to the pace of a slow reader, both ways at once, and no byte changes", async () => {
    const { client, member, gateway } = await connected();
    const pattern = crypto.getRandomValues(new Uint8Array(65_536));
    const block = new Uint8Array((1 << 20) + 7).map(
      (_, index) => pattern[(index * 31) % pattern.length] ?? 0,
    );
    const expected = new Bun.CryptoHasher("sha1");
    for (let sent = 0; sent < MEGABYTES; sent++) expected.update(block);
    const digest = expected.digest("hex");
    const totalBytes = MEGABYTES * block.length;
    expect(totalBytes).toBeGreaterThan(inFlightBytesMax());

    using moves = spyOn(Splicer.prototype, "move");
    client.readSlowly(1);
    member.readSlowly(1);
    client.send(block, MEGABYTES);
    member.send(block, MEGABYTES);
    let inFlightBytes = 0;
    const inFlight = (from: TcpPeer, to: TcpPeer): number => from.sentBytes - to.receivedBytes;
    await until(() => {
      inFlightBytes = Math.max(inFlightBytes, inFlight(client, member), inFlight(member, client));
      return client.receivedBytes === totalBytes && member.receivedBytes === totalBytes;
    });
    expect(inFlightBytes).toBeLessThanOrEqual(inFlightBytesMax());
    expect([client.digest, member.digest]).toEqual([digest, digest]);
    const spliced = moves.mock.results.filter(({ value }) => (value as Spliced).movedBytes > 0);
    expect(spliced.length > 0).toBe(Splicer.shared !== null);
    expect(gateway.stats).toMatchObject({ bytesUpstream: totalBytes, bytesDownstream: totalBytes });
  });

  test("of one client that does not read slows no other", async () => {
    const server = testMember();
    const gateway = await testGateway([server.port]);
    const stalled = await connectClient(gateway.port);
    const toStalled = await server.client(0);
    stalled.socket?.pause();
    toStalled.send(new Uint8Array(1 << 20), 100);
    const client = await connectClient(gateway.port);
    const member = await server.client(1);
    member.send(new Uint8Array(1 << 20), 20);
    await until(() => client.receivedBytes === 20 << 20);
    expect(toStalled.allSent).toBe(false);
  });
});
