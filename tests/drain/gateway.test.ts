/** The gateway takes leave of its clients: pairs run on until they end, or the time is up. */
import { describe, expect, test } from "bun:test";
import { startGateway } from "../harness/etcdproxy-process.ts";
import { waitFor } from "../harness/wait-for.ts";
import { startMember } from "../gateway/tcp-peer.ts";
import { connectTo, messages, refused } from "./drain-scene.ts";

const LONG = "--drain-timeout=1h";
const MEBIBYTE = new Uint8Array(1024 * 1024).fill(7);
const BODY_MEBIBYTES = 64;

describe("a gateway that is told to stop", () => {
  test.each(["SIGTERM", "SIGINT"] as const)(
    "ends at once with status 0 on %s where there is no client",
    async (signal) => {
      await using gateway = await startGateway(["127.0.0.1:1"], [LONG]);
      gateway.kill(signal);
      expect(await gateway.exited).toBe(0);
      expect(messages(gateway).slice(-2)).toEqual(["stopping", "stopped"]);
    },
  );

  test("lets a long body pass to its end, and takes nobody new", async () => {
    const member = startMember("hello");
    await using gateway = await startGateway([`127.0.0.1:${member.port}`], [LONG]);
    const client = await connectTo(gateway.address);
    await waitFor("the pair", () => client.text === "hello");
    const upstream = await member.client(0);
    client.socket!.pause();
    upstream.send(MEBIBYTE, BODY_MEBIBYTES);
    gateway.kill("SIGTERM");
    expect(await gateway.logged("draining: clients may finish")).toMatchObject({ clients: 1 });
    await refused(gateway.address);
    expect(upstream.allSent).toBe(false);
    client.socket!.resume();
    await waitFor("the body to be sent", () => upstream.allSent);
    upstream.halfClose();
    await waitFor("the body to arrive", () => client.ended);
    client.halfClose();
    expect(client.receivedBytes).toBe("hello".length + BODY_MEBIBYTES * MEBIBYTE.length);
    expect(await gateway.exited).toBe(0);
    expect(client.closed).toBe("orderly");
    expect(messages(gateway).slice(-2)).toEqual(["drained: no client is left", "stopped"]);
    member.kill();
  });

  test.each(["300ms", "0"])(
    "closes both ends of idle pairs in order after --drain-timeout=%s",
    async (timeout) => {
      const member = startMember("hello");
      await using gateway = await startGateway([`127.0.0.1:${member.port}`], [`--drain-timeout=${timeout}`]);
      const clients = [await connectTo(gateway.address), await connectTo(gateway.address)];
      await waitFor("the pairs", () => clients.every(({ text }) => text === "hello"));
      gateway.kill("SIGTERM");
      await waitFor("all four ends", () => [...clients, ...member.clients].every(({ ended }) => ended));
      expect(await gateway.exited).toBe(0);
      expect(clients.map(({ closed }) => closed)).not.toContain("reset");
      const cut = await gateway.logged("the drain timeout is over: what clients have open is cut");
      expect(cut).toMatchObject({ level: "warn", clients: 2 });
      member.kill();
    },
  );

  test("ends at once on a second signal", async () => {
    const member = startMember("hello");
    await using gateway = await startGateway([`127.0.0.1:${member.port}`], [LONG]);
    const client = await connectTo(gateway.address);
    await waitFor("the pair", () => client.text === "hello");
    gateway.kill("SIGTERM");
    await gateway.logged("draining: clients may finish");
    gateway.kill("SIGINT");
    expect(await gateway.exited).toBe(130);
    member.kill();
  });
});
