import { describe, expect, test } from "bun:test";
import { until } from "../net/until.ts";
import { connectClient } from "./tcp-peer.ts";
import { closedPort, testBlackHole, testGateway, testMember } from "./test-gateway.ts";

/** Connects a client and tells which member has greeted it, or that it was closed. */
async function greeting(port: number): Promise<string> {
  const client = await connectClient(port);
  await until(() => client.text !== "" || client.ended || client.closed !== "no");
  client.reset();
  return client.text;
}

async function greetings(port: number, count: number): Promise<string> {
  let all = "";
  for (let index = 0; index < count; index++) all += await greeting(port);
  return all;
}

const SET_ASIDE = "endpoint failed, set aside";
const NONE_LEFT = "no endpoint can be reached, client closed";

describe("the endpoint", () => {
  test("is picked by chance at the start and kept for all clients", async () => {
    const ports = ["A", "B", "C"].map((name) => testMember(name).port);
    const byChance = async (random: number): Promise<string> => {
      const { port } = await testGateway(ports, { random: () => random });
      return await greetings(port, 3);
    };
    expect(await byChance(0)).toBe("AAA");
    expect(await byChance(0.5)).toBe("BBB");
    expect(await byChance(0.99)).toBe("CCC");
  });

  test("is kept until it dies, and the next one until that dies", async () => {
    const [a, b, c] = [testMember("A"), testMember("B"), testMember("C")];
    const { port } = await testGateway([a.port, b.port, c.port]);
    expect(await greetings(port, 3)).toBe("AAA");
    a.kill();
    expect(await greetings(port, 3)).toBe("BBB");
    testMember("A", a.port);
    expect(await greetings(port, 3)).toBe("BBB");
    b.kill();
    expect(await greetings(port, 3)).toBe("CCC");
  });

  test("that is refused is replaced by the next, unseen by the client, and logged once", async () => {
    const refused = closedPort();
    const member = testMember("B");
    const { port, log, stats } = await testGateway([refused, member.port]);
    expect(await greetings(port, 3)).toBe("BBB");
    expect(log.fieldsOf(SET_ASIDE)).toEqual([
      { endpoint: `127.0.0.1:${refused}`, reason: "connection refused" },
    ]);
    expect([...stats.dialFailures]).toEqual([[`127.0.0.1:${refused}`, 1]]);
  });

  test("that answers no SYN is left at the dial timeout, unseen by the client", async () => {
    const hole = await testBlackHole();
    const member = testMember("B");
    const { port, log } = await testGateway([hole.port, member.port], { dialTimeoutMs: 50 });
    expect(await greetings(port, 3)).toBe("BBB");
    expect(log.fieldsOf(SET_ASIDE)).toEqual([
      { endpoint: `127.0.0.1:${hole.port}`, reason: "no answer within 50 ms" },
    ]);
  });

  test("that failed is not tried before its retry delay is over while another works", async () => {
    let nowMs = 0;
    const refused = closedPort();
    const member = testMember("B");
    const { port, stats } = await testGateway([refused, member.port], {
      retryDelayMs: 1_000,
      now: () => nowMs,
    });
    expect(await greeting(port)).toBe("B");
    testMember("A", refused);
    member.kill();

    nowMs = 999;
    const next = testMember("B", member.port);
    expect(await greeting(port)).toBe("B");
    next.kill();
    // B has failed now, and A is the only other: it is tried although it is set aside.
    expect(await greeting(port)).toBe("A");
    expect(stats.dialFailures.get(`127.0.0.1:${refused}`)).toBe(1);
  });

  test("that failed is chosen again after its retry delay when the current one fails", async () => {
    let nowMs = 0;
    const [a, b] = [testMember("A"), testMember("B")];
    const refused = closedPort();
    const { port, stats } = await testGateway([a.port, refused, b.port], {
      retryDelayMs: 1_000,
      now: () => nowMs,
    });
    a.kill();
    expect(await greeting(port)).toBe("B");
    testMember("R", refused);
    b.kill();
    nowMs = 1_000;
    expect(await greeting(port)).toBe("R");
    expect(stats.dialFailures.get(`127.0.0.1:${refused}`)).toBe(1);
  });
});

describe("when all endpoints fail", () => {
  test("the client is closed, and one line names the endpoints with their reasons", async () => {
    const ports = [closedPort(), closedPort()];
    const { port, log, stats } = await testGateway(ports);
    expect(await greetings(port, 3)).toBe("");
    expect(log.fieldsOf(NONE_LEFT)).toEqual([
      {
        peer: expect.stringMatching(/^127\.0\.0\.1:\d+$/) as unknown,
        reason: expect.stringContaining("connection refused") as unknown,
        endpoints: ports.map((failed) => `127.0.0.1:${failed}: connection refused`),
        clients: 1,
      },
    ]);
    expect(stats).toMatchObject({ connectionsOpen: 0, connectionsTotal: 3, connectionsFailed: 3 });
  });

  test("the next line, 5 seconds later at the earliest, counts the clients of both", async () => {
    let nowMs = 0;
    const { port, log } = await testGateway([closedPort()], { now: () => nowMs });
    await greetings(port, 3);
    nowMs = 5_000;
    await greetings(port, 3);
    expect(log.fieldsOf(NONE_LEFT).map(({ clients }) => clients)).toEqual([1, 3]);
  });

  test("the first client after one has come back reaches it, whatever the retry delay", async () => {
    const ports = [closedPort(), closedPort(), closedPort()];
    const { port, log } = await testGateway(ports, { now: () => 0 });
    expect(await greeting(port)).toBe("");
    testMember("B", ports[1]);
    expect(await greetings(port, 2)).toBe("BB");
    expect(log.fieldsOf("endpoint works again")).toEqual([{ endpoint: `127.0.0.1:${ports[1]}` }]);
  });
});

describe("a client that goes away while its endpoint is dialled", () => {
  test("is forgotten at once, and no other endpoint is dialled for it", async () => {
    const hole = await testBlackHole();
    const member = testMember("B");
    const { port, stats } = await testGateway([hole.port, member.port], { dialTimeoutMs: 200 });
    const client = await connectClient(port);
    await until(() => stats.connectionsOpen === 1);
    client.send("too late");
    client.reset();
    await until(() => stats.connectionsOpen === 0);
    expect(stats.dialFailures.size).toBe(0);
    await until(() => stats.dialFailures.size === 1);
    expect(await greeting(port)).toBe("B");
    expect(member.clients).toHaveLength(1);
  });

  test("cannot keep the endpoint in use when it turns out to be a black hole", async () => {
    const hole = await testBlackHole();
    const member = testMember("B");
    const { port, log, stats } = await testGateway([hole.port, member.port], { dialTimeoutMs: 50 });
    const client = await connectClient(port);
    await until(() => stats.connectionsTotal === 1);
    client.reset();
    await until(() => log.fieldsOf(SET_ASIDE).length === 1);
    expect(log.fieldsOf(SET_ASIDE)).toMatchObject([{ endpoint: `127.0.0.1:${hole.port}` }]);
  });

  test("leaves no connection to the member behind", async () => {
    const member = testMember();
    const { port, stats } = await testGateway([member.port]);
    for (let round = 0; round < 50; round++) (await connectClient(port)).reset();
    await until(() => stats.connectionsTotal === 50 && stats.connectionsOpen === 0);
    await connectClient(port);
    await until(() => member.open() === 1);
  });
});
