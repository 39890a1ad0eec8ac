import { afterEach, describe, expect, test } from "bun:test";
import { networkInterfaces } from "node:os";
import type { Socket } from "bun";
import { dialErrorFrom, type DialError } from "../../src/net/dial-error.ts";
import { Dialer, type DialerOptions } from "../../src/net/dial.ts";
import type { DnsResolver } from "../../src/net/resolver.ts";
import { openBlackHole } from "./black-hole.ts";
import { until } from "./until.ts";

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

/** A server that greets each client with "hello". */
function startServer(hostname = "127.0.0.1"): {
  port: number;
  clients: Socket<undefined>[];
  closed: () => number;
} {
  const clients: Socket<undefined>[] = [];
  let closed = 0;
  const server = Bun.listen<undefined>({
    hostname,
    port: 0,
    allowHalfOpen: true,
    socket: {
      open(socket) {
        clients.push(socket);
        socket.write("hello");
      },
      data() {},
      close() {
        closed++;
      },
    },
  });
  cleanups.push(() => server.stop(true));
  return { port: server.port, clients, closed: () => closed };
}

/** A port on which nobody listens. */
function closedPort(): number {
  const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = server;
  server.stop(true);
  return port;
}

async function blackHole() {
  const hole = await openBlackHole();
  cleanups.push(() => hole.close());
  return hole;
}

function hasAddress(wanted: string): boolean {
  return Object.values(networkInterfaces()).some((addresses) =>
    addresses?.some(({ address }) => address === wanted),
  );
}

interface Heard {
  text: string;
  ended: boolean;
  closed: boolean;
}

const heard = (): Heard => ({ text: "", ended: false, closed: false });

function createDialer(options: Partial<DialerOptions<Heard>> = {}): Dialer<Heard> {
  return new Dialer<Heard>({
    timeoutMs: 30,
    retryDelayMs: 60_000,
    handlers: {
      data(socket, chunk) {
        socket.data.text += chunk.toString();
      },
      end(socket) {
        socket.data.ended = true;
      },
      close(socket) {
        socket.data.closed = true;
      },
    },
    ...options,
  });
}

const at = (port: number, hostname = "127.0.0.1") => ({ hostname, port, name: `${hostname}:${port}` });

async function failureOf(dial: Promise<unknown>): Promise<DialError> {
  return await dial.then(
    () => expect.unreachable("the dial succeeded"),
    (error: DialError) => error,
  );
}

describe("a dial", () => {
  test("that is answered gives a socket with the owner's data and callbacks", async () => {
    const { port, clients } = startServer();
    const data = heard();
    const socket = await createDialer({ timeoutMs: 10_000 }).dial(at(port), data);
    expect(socket.data).toBe(data);
    await until(() => data.text === "hello");
    clients[0]?.shutdown();
    await until(() => data.ended);
    expect(data.closed).toBe(false);
    clients[0]?.terminate();
    await until(() => data.closed);
  });

  test("never ends before start has returned", async () => {
    const hole = await blackHole();
    const dialer = createDialer();
    await failureOf(dialer.dial(at(hole.port), heard()));
    for (const port of [hole.port, closedPort()]) {
      let returned = false;
      await new Promise<void>((resolve) => {
        dialer.start(at(port), heard(), {
          dialled: () => expect.unreachable(),
          dialFailed: () => {
            expect(returned).toBe(true);
            resolve();
          },
        });
        returned = true;
      });
    }
  });

  test("to a port where nobody listens is refused, and the error names the endpoint", async () => {
    const port = closedPort();
    const error = await failureOf(createDialer().dial(at(port), heard()));
    expect(error).toMatchObject({
      name: "DialError",
      reason: "refused",
      endpoint: `127.0.0.1:${port}`,
      message: `127.0.0.1:${port}: connection refused`,
    });
  });

  // The system gives localhost both addresses: in one of the two cases the first one that is tried refuses.
  test.each(["127.0.0.1", "::1"])(
    "to a name whose other addresses refuse comes up at %s",
    async (address) => {
      if (!hasAddress(address)) return;
      const { port } = startServer(address);
      const data = heard();
      const socket = await createDialer({ timeoutMs: 10_000 }).dial(at(port, "localhost"), data);
      expect(socket.remoteAddress).toBe(address);
      await until(() => data.text === "hello");
    },
  );

  test("to a name without an address is unresolved", async () => {
    const error = await failureOf(
      createDialer({ timeoutMs: 30_000 }).dial(at(2379, "no-such-host.invalid"), heard()),
    );
    expect(error.reason).toBe("unresolved");
    expect(error.message).toStartWith("no-such-host.invalid:2379: the host name does not resolve");
  });

  test("to an address that answers no SYN ends with its timeout", async () => {
    const { port } = await blackHole();
    const dialer = createDialer();
    const error = await failureOf(dialer.dial(at(port), heard()));
    expect(error.reason).toBe("timeout");
    expect(error.message).toBe(`127.0.0.1:${port}: no answer within 30 ms`);
    expect(dialer.stuckDials).toBe(1);
  });

  test("that comes up after its timeout is closed, and its owner hears nothing more", async () => {
    const hole = await blackHole();
    const dialer = createDialer();
    const data = heard();
    await failureOf(dialer.dial(at(hole.port), data));
    hole.answerOne();
    await until(() => dialer.stuckDials === 0);
    expect(data).toEqual(heard());
    // The late socket is gone, so the queue has room again.
    hole.answerOne();
    const socket = await createDialer({ timeoutMs: 30_000 }).dial(at(hole.port), data);
    expect(data.closed).toBe(false);
    socket.terminate();
    expect(data.closed).toBe(true);
  });

  test("that was abandoned tells its owner nothing, and its socket is closed as it comes up", async () => {
    const { port, clients, closed } = startServer();
    const data = heard();
    const dial = createDialer({ timeoutMs: 10_000 }).start(at(port), data, {
      dialled: () => expect.unreachable(),
      dialFailed: () => expect.unreachable(),
    });
    dial.abandon();
    await until(() => clients.length === 1 && closed() === 1);
    expect(data).toEqual(heard());
  });
});

describe("an address with a dial that is stuck", () => {
  test("is not dialled again before the retry delay is over", async () => {
    let nowMs = 0;
    const { port } = await blackHole();
    const dialer = createDialer({ retryDelayMs: 1_000, now: () => nowMs });
    await failureOf(dialer.dial(at(port), heard()));

    nowMs = 999;
    const early = await failureOf(dialer.dial(at(port), heard()));
    expect(early).toMatchObject({ reason: "timeout", detail: "no answer to an earlier dial yet" });
    expect(dialer.stuckDials).toBe(1);

    nowMs = 1_000;
    const retried = await failureOf(dialer.dial(at(port), heard()));
    expect(retried.detail).toBe("no answer within 30 ms");
    expect(dialer.stuckDials).toBe(2);

    const again = await failureOf(dialer.dial(at(port), heard()));
    expect(again.detail).toBe("no answer to an earlier dial yet");
  });

  test("is dialled as ever once one was answered, though those that are stuck wait for the kernel's next SYN", async () => {
    let nowMs = 0;
    const hole = await blackHole();
    const dialer = createDialer({ timeoutMs: 300, retryDelayMs: 1_000, now: () => nowMs });
    await failureOf(dialer.dial(at(hole.port), heard()));
    nowMs = 1_000;
    hole.answerOne();
    (await dialer.dial(at(hole.port), heard())).terminate();
    // The first one's next SYN is sent after a second.
    expect(dialer.stuckDials).toBe(1);
    hole.answerOne();
    (await dialer.dial(at(hole.port), heard())).terminate();
  });

  test("is dialled again when the endpoint is known to answer somebody else, under each address of its name", async () => {
    const hole = await blackHole();
    const resolver: DnsResolver = {
      srv: () => Promise.resolve([]),
      addresses: () => Promise.resolve(["127.0.0.1"]),
    };
    for (const [dialer, host] of [
      [createDialer(), "127.0.0.1"],
      [createDialer({ resolver }), "member.test"],
    ] as const) {
      const target = at(hole.port, host);
      await failureOf(dialer.dial(target, heard()));
      dialer.endpointAnswers(`other.test:${hole.port}`);
      expect((await failureOf(dialer.dial(target, heard()))).detail).toContain("earlier dial");
      dialer.endpointAnswers(target.name);
      expect((await failureOf(dialer.dial(target, heard()))).detail).not.toContain("earlier dial");
    }
  });

  test("is found stuck even when its dials are abandoned", async () => {
    const { port } = await blackHole();
    const dialer = createDialer();
    dialer
      .start(at(port), heard(), {
        dialled: () => expect.unreachable(),
        dialFailed: () => expect.unreachable(),
      })
      .abandon();
    await until(() => dialer.stuckDials === 1);
  });

  test("does not keep others from being dialled", async () => {
    const { port } = await blackHole();
    const dialer = createDialer({ timeoutMs: 200 });
    await failureOf(dialer.dial(at(port), heard()));
    const data = heard();
    await dialer.dial(at(startServer().port), data);
    await until(() => data.text === "hello");
  });
});

describe("with a resolver of its own", () => {
  const resolving = (addresses: readonly string[]): DnsResolver => ({
    srv: () => Promise.resolve([]),
    addresses: () => Promise.resolve(addresses),
  });

  test("a dial tries the name's addresses one after another", async () => {
    const { port } = startServer("127.0.0.1");
    const data = heard();
    const dialer = createDialer({ timeoutMs: 10_000, resolver: resolving(["127.0.0.9", "127.0.0.1"]) });
    await dialer.dial(at(port, "member.test"), data);
    await until(() => data.text === "hello");
  });

  test("an address that does not answer leaves time for the next", async () => {
    const hole = await blackHole();
    const server = Bun.listen({ hostname: "127.0.0.2", port: hole.port, socket: { data() {} } });
    cleanups.push(() => server.stop(true));
    const dialer = createDialer({ timeoutMs: 400, resolver: resolving(["127.0.0.1", "127.0.0.2"]) });
    const socket = await dialer.dial(at(hole.port, "member.test"), heard());
    expect(socket.remoteAddress).toBe("127.0.0.2");
    expect(dialer.stuckDials).toBe(1);
  });

  test("the error names the endpoint as it was configured", async () => {
    const port = closedPort();
    const dialer = createDialer({ timeoutMs: 10_000, resolver: resolving(["127.0.0.1"]) });
    const error = await failureOf(dialer.dial(at(port, "member.test"), heard()));
    expect(error.message).toBe(`member.test:${port}: connection refused`);
  });

  test("a name without addresses, a failing lookup and one that never ends are unresolved", async () => {
    const resolvers: DnsResolver["addresses"][] = [
      () => Promise.resolve([]),
      () => Promise.reject(new Error("the DNS lookup failed")),
      () => new Promise(() => {}),
    ];
    for (const addresses of resolvers) {
      const dialer = createDialer({ resolver: { ...resolving([]), addresses } });
      const error = await failureOf(dialer.dial(at(1, "member.test"), heard()));
      expect(error.reason).toBe("unresolved");
      expect(error.endpoint).toBe("member.test:1");
    }
  });

  test("an abandoned dial is not started after the lookup", async () => {
    const { port, clients } = startServer();
    const lookedUp = Promise.withResolvers<readonly string[]>();
    const dialer = createDialer({
      timeoutMs: 10_000,
      resolver: { ...resolving([]), addresses: () => lookedUp.promise },
    });
    const owner = { dialled: () => expect.unreachable(), dialFailed: () => expect.unreachable() };
    dialer.start(at(port, "member.test"), heard(), owner).abandon();
    lookedUp.resolve(["127.0.0.1"]);
    // A later dial comes through; had the first been dialled, the server would have seen two.
    await createDialer({ timeoutMs: 10_000 }).dial(at(port), heard());
    await until(() => clients.length > 0);
    expect(clients).toHaveLength(1);
  });
});

test("only want of files, ports or memory is this machine's own failure", () => {
  const reasonOf = (code: string) => dialErrorFrom(Object.assign(new Error("x"), { code }), "a:1").reason;
  expect(["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EADDRNOTAVAIL"].map(reasonOf)).toEqual(
    Array.from({ length: 5 }, () => "exhausted"),
  );
  expect(["ECONNREFUSED", "ETIMEDOUT", "ENOTFOUND", "EHOSTUNREACH", "EPERM"].map(reasonOf)).toEqual([
    "refused",
    "timeout",
    "unresolved",
    "unreachable",
    "failed",
  ]);
});
