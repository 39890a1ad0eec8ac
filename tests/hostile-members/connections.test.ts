/**
 * Members whose connections do harm: what is no HTTP/2, floods of frames, and connections that end as they are made. The
 * proxy leaves them for etcd, says why, and neither grows nor spins.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { startEtcdCluster, type EtcdCluster } from "../harness/etcd-cluster.ts";
import { waitFor } from "../harness/wait-for.ts";
import { MIB } from "../faults/memory.ts";
import {
  ACK,
  concat,
  CONTINUATION,
  frame,
  goaway,
  HEADER_TABLE_SIZE,
  HEADERS,
  INITIAL_WINDOW_SIZE,
  MAX_CONCURRENT_STREAMS,
  MAX_FRAME_SIZE,
  NO_ERROR,
  ping,
  PRIORITY,
  priorityField,
  PUSH_PROMISE,
  SETTINGS,
  settings,
  uint32,
} from "../http2/frames.ts";
import type { HostileConnection, Script } from "./hostile-member.ts";
import { HostileScene } from "./scene.ts";

const text = (words: string): Uint8Array => new TextEncoder().encode(words);
/** Many frames in one write. */
const many = (one: Uint8Array): Uint8Array => concat(Array.from({ length: 500 }, () => one));
/** What a proxy may grow by for the sake of one member's connection. */
const GROWTH_BYTES_MAX = 100 * MIB;

let cluster: EtcdCluster;
beforeAll(async () => {
  cluster = await startEtcdCluster({ members: 1 });
});
afterAll(async () => {
  await cluster.dispose();
});

async function unharmed(scene: HostileScene): Promise<void> {
  await scene.served();
  expect(scene.proxy.running).toBe(true);
  expect(scene.peakGrowthBytes).toBeLessThan(GROWTH_BYTES_MAX);
  expect(scene.ownFaults).toEqual([]);
}

describe("what answers and is no HTTP/2", () => {
  const answers: Record<string, Uint8Array> = {
    "an HTTP/1.1 answer": text("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
    "a TLS alert": Uint8Array.of(0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x46),
    garbage: Uint8Array.from({ length: 100_000 }, (_, at) => (at * 7919) % 251),
    "a frame of 16 MiB": Uint8Array.of(0xff, 0xff, 0xff, 4, 0, 0, 0, 0, 0),
    "a GOAWAY before SETTINGS": goaway(0, NO_ERROR),
    nothing: new Uint8Array(0),
  };
  for (const [name, answer] of Object.entries(answers)) {
    test(`${name}: etcd serves`, async () => {
      const script: Script = { onConnection: (connection) => connection.send(answer) };
      await using scene = await HostileScene.start(cluster, script, ["--dial-timeout=500ms"]);
      await unharmed(scene);
    });
  }

  test("one byte at a time: etcd serves", async () => {
    const hello = settings();
    const script: Script = {
      onConnection: (connection) => {
        let at = 0;
        // Never the last one.
        const drip = setInterval(() => {
          if (connection.closed) clearInterval(drip);
          else if (at < hello.length - 1) connection.send(hello.subarray(at, ++at));
        }, 100);
      },
    };
    await using scene = await HostileScene.start(cluster, script, ["--dial-timeout=500ms"]);
    await unharmed(scene);
  });
});

describe("a flood", () => {
  const floods: Record<string, [limit: string, make: () => Uint8Array]> = {
    "of PINGs": ["pings", () => many(ping("8 octets"))],
    "of SETTINGS": ["settings", () => many(settings([INITIAL_WINDOW_SIZE, 65_535]))],
    "of acknowledged SETTINGS": ["settings", () => many(frame(SETTINGS, ACK, 0))],
    "of PRIORITY": ["idleFrames", () => many(frame(PRIORITY, 0, 1, priorityField(3)))],
    "of unknown frames": ["idleFrames", () => many(frame(0xf0, 0, 0, text("what?")))],
  };
  for (const [name, [limit, make]] of Object.entries(floods)) {
    test(`${name} ends the connection, and the line names the limit and the member`, async () => {
      await using scene = await HostileScene.start(cluster);
      const [connection] = scene.member.connections;
      connection!.flood(make);
      await scene.limitReached(limit);
      await waitFor("the end of the connection", () => connection!.closed);
      await unharmed(scene);
    });
  }

  test("of GOAWAYs ends the connection, on which a call was to be answered still", async () => {
    let hellos = 0;
    const script: Script = {
      // The next connection is to the same member, by the protocol: it is none.
      onConnection: (connection) => (hellos++ === 0 ? connection.hello() : connection.cut()),
    };
    await using scene = await HostileScene.start(cluster, script);
    void scene.client.unary(KV.method.put, { key: text("k") }).catch(() => {});
    const call = await waitFor("a call at the member", () => scene.member.requests[0]);
    call.connection.flood(() => many(goaway(0x7fff_ffff, NO_ERROR)));
    await scene.limitReached("idleFrames");
    await unharmed(scene);
  });

  test("of CONTINUATION ends the connection", async () => {
    await using scene = await HostileScene.start(cluster);
    void scene.client.unary(KV.method.put, { key: text("k") }).catch(() => {});
    const call = await waitFor("a call", () => scene.member.requests[0]);
    call.connection.send(frame(HEADERS, 0, call.streamId));
    call.connection.flood(() => many(frame(CONTINUATION, 0, call.streamId)));
    await scene.limitReached("continuationFrames");
    await unharmed(scene);
  });
});

describe("a frame that a server may not send", () => {
  const frames: Record<string, Uint8Array> = {
    PUSH_PROMISE: frame(PUSH_PROMISE, 0x4, 1, concat([uint32(2), Uint8Array.of(0x88)])),
    "DATA on a stream that was never opened": frame(0, 0, 99, text("answer")),
    "HEADERS on a stream that was never opened": frame(HEADERS, 0x5, 99, Uint8Array.of(0x88)),
    SETTINGS_ENABLE_PUSH: settings([2, 1]),
    "a broken header block": frame(HEADERS, 0x5, 1, Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0x7f)),
    "SETTINGS_INITIAL_WINDOW_SIZE of 2^31": settings([INITIAL_WINDOW_SIZE, 0x8000_0000]),
    "SETTINGS_MAX_FRAME_SIZE of 0": settings([MAX_FRAME_SIZE, 0]),
  };
  for (const [name, bytes] of Object.entries(frames)) {
    test(`${name} makes the proxy leave for etcd`, async () => {
      await using scene = await HostileScene.start(cluster);
      scene.member.connections[0]!.send(bytes);
      await waitFor("the end of the connection", () => scene.member.connections[0]!.closed);
      await unharmed(scene);
    });
  }
});

describe("settings at their ends", () => {
  test("no concurrent streams: the call goes to etcd instead of waiting", async () => {
    const script: Script = { onConnection: (connection) => connection.hello([MAX_CONCURRENT_STREAMS, 0]) };
    await using scene = await HostileScene.start(cluster, script);
    await unharmed(scene);
  });

  test("everything as large as it goes: a call of a megabyte arrives whole", async () => {
    const script: Script = {
      onConnection: (connection) => {
        connection.hello(
          [HEADER_TABLE_SIZE, 0xffff_ffff],
          [INITIAL_WINDOW_SIZE, 0x7fff_ffff],
          [MAX_FRAME_SIZE, 0xff_ffff],
        );
        connection.send(frame(8, 0, 0, uint32(0x7fff_ffff - 65_535)));
      },
    };
    await using scene = await HostileScene.start(cluster, script);
    void scene.client.unary(KV.method.put, { key: text("k"), value: new Uint8Array(MIB) }).catch(() => {});
    const whole = await waitFor("the request", () => scene.member.requests.find(({ ended }) => ended));
    expect(whole.body.length).toBeGreaterThan(MIB);
    whole.connection.cut();
    await unharmed(scene);
  });

  test("a window that never opens: the call waits, others go to etcd once the member is left", async () => {
    const script: Script = { onConnection: (connection) => connection.hello([INITIAL_WINDOW_SIZE, 0]) };
    await using scene = await HostileScene.start(cluster, script);
    const value = new Uint8Array(MIB);
    const calls = Array.from({ length: 200 }, () =>
      scene.client.unary(KV.method.put, { key: text("k"), value }, { timeoutMs: 2000 }).catch(() => {}),
    );
    await Promise.all(calls);
    expect(scene.peakGrowthBytes).toBeLessThan(700 * MIB);
    scene.member.connections[0]!.cut();
    await scene.served();
    expect(scene.ownFaults).toEqual([]);
  });
});

describe("connections that end as they are made", () => {
  const endings: Record<string, (connection: HostileConnection) => void> = {
    "by GOAWAY": (connection) => connection.send(settings(), goaway(0, NO_ERROR)),
    "by a reset": (connection) => {
      connection.send(settings());
      setImmediate(() => connection.cut());
    },
    "by an error of the protocol": (connection) => connection.send(settings(), frame(PUSH_PROMISE, 0x4, 1)),
  };
  for (const [name, onConnection] of Object.entries(endings)) {
    test(`${name} are not made at full speed, and etcd is found`, async () => {
      await using scene = await HostileScene.start(cluster, { onConnection }, [], true);
      await scene.limitReached("reconnects");
      const before = {
        connections: scene.member.connections.length,
        at: performance.now(),
        cpu: scene.cpuSeconds,
      };
      await waitFor("two more connections", () => scene.member.connections.length >= before.connections + 2);
      // One a second, so that two take more than one however fast the machine is.
      expect(performance.now() - before.at).toBeGreaterThan(500);
      expect(scene.cpuSeconds - before.cpu).toBeLessThan((performance.now() - before.at) / 2000);
      scene.rescue();
      await unharmed(scene);
    });
  }

  test("while calls wait for room are not made at full speed", async () => {
    let first = true;
    const script: Script = {
      onConnection: (connection) => {
        connection.hello([MAX_CONCURRENT_STREAMS, 1]);
        if (!first) connection.send(goaway(0, NO_ERROR));
        first = false;
      },
    };
    await using scene = await HostileScene.start(cluster, script);
    const calls = Array.from({ length: 50 }, () =>
      scene.client.unary(KV.method.put, { key: text("k") }, { timeoutMs: 4000 }).catch(() => {}),
    );
    await scene.limitReached("extraConnections");
    await Promise.all(calls);
    // 30 at once and 5 a second; thousands without a bound.
    expect(scene.member.connections.length).toBeLessThan(200);
    scene.member.connections[0]!.cut();
    await unharmed(scene);
  });
});
