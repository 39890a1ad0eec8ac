import { afterEach, describe, expect, onTestFinished, test } from "bun:test";
import { listen, ListenError, type Listener, refuseTakenPort } from "../../src/net/listen.ts";
import { until } from "./until.ts";

const listeners: Listener[] = [];
afterEach(() => {
  for (const listener of listeners.splice(0)) listener.stop();
});

interface Heard {
  text: string;
}

/** A server that keeps what its clients say, and counts those that close. */
function start(hostname: string, connectionsMax = 10, port = 0) {
  const heard: Heard[] = [];
  const closed: Heard[] = [];
  const listener = listen<Heard>({
    address: { hostname, port },
    connectionsMax,
    handlers: {
      open(socket) {
        socket.data = { text: "" };
        heard.push(socket.data);
        socket.write("hello");
      },
      data(socket, chunk) {
        socket.data.text += chunk.toString();
      },
      end(socket) {
        socket.end();
      },
      close(socket) {
        closed.push(socket.data);
      },
    },
  });
  listeners.push(listener);
  return { listener, heard, closed };
}

async function connect(listener: Listener, hostname = "127.0.0.1") {
  const client = { text: "", closed: false, reset: false };
  const socket = await Bun.connect({
    hostname,
    port: listener.address.port,
    socket: {
      data(_socket, chunk) {
        client.text += chunk.toString();
      },
      close(_socket, error) {
        client.closed = true;
        client.reset = error !== undefined;
      },
    },
  });
  return { client, socket };
}

describe("a listener", () => {
  test("tells the port that the system has chosen", () => {
    const { listener } = start("127.0.0.1");
    expect(listener.address.hostname).toBe("127.0.0.1");
    expect(listener.address.port).toBeGreaterThan(0);
  });

  test("that stops behind its queue serves those whom the kernel has accepted, and nobody later", async () => {
    const { listener, heard } = start("127.0.0.1", 100);
    const clients = Array.from({ length: 50 }, () => connect(listener));
    await listener.stopBehindQueue();
    const connected = await Promise.all(clients);
    await until(() => connected.every(({ client }) => client.text === "hello"));
    expect(heard).toHaveLength(50);
    expect(connect(listener)).rejects.toThrow();
  });

  test("without a host listens on every interface", async () => {
    const { listener, heard } = start("");
    await connect(listener, "127.0.0.1");
    await connect(listener, "127.0.0.2");
    await until(() => heard.length === 2);
  });

  test("hands its owner the socket's events", async () => {
    const { listener, heard, closed } = start("127.0.0.1");
    const { client, socket } = await connect(listener);
    socket.write("there");
    await until(() => heard[0]?.text === "there" && client.text === "hello");
    expect(listener.connectionsOpen).toBe(1);
    socket.shutdown();
    await until(() => closed.length === 1);
    expect(listener.connectionsOpen).toBe(0);
  });

  test("resets a connection beyond its maximum, unseen by its owner, and takes the next when one has closed", async () => {
    const { listener, heard, closed } = start("127.0.0.1", 2);
    const first = await connect(listener);
    await connect(listener);
    await until(() => heard.length === 2);

    const { client: third } = await connect(listener);
    await until(() => third.closed);
    expect(third.reset).toBe(true);
    expect(third.text).toBe("");
    expect([listener.connectionsOpen, listener.connectionsRefused, heard.length, closed.length]).toEqual([
      2, 1, 2, 0,
    ]);

    first.socket.terminate();
    await until(() => listener.connectionsOpen === 1);
    const { client: fourth } = await connect(listener);
    await until(() => fourth.text === "hello");
  });

  test("that is stopped accepts no more, while open connections go on", async () => {
    const { listener, heard } = start("127.0.0.1");
    const { client, socket } = await connect(listener);
    await until(() => client.text === "hello");
    listener.stop();
    expect(await connect(listener).catch((error: unknown) => error)).toMatchObject({ code: "ECONNREFUSED" });
    socket.write("still here");
    await until(() => heard[0]?.text === "still here");
  });
});

describe("listening fails with a line that names --listen-addr and says what to do:", () => {
  const failureOf = (hostname: string, port = 0): ListenError => {
    try {
      start(hostname, 1, port);
    } catch (error) {
      if (error instanceof ListenError) return error;
    }
    return expect.unreachable("listening did not fail");
  };

  test("the port is in use", () => {
    const { port } = start("127.0.0.1").listener.address;
    const error = failureOf("127.0.0.1", port);
    expect(error.code).toBe("EADDRINUSE");
    expect(error.message).toBe(
      `--listen-addr 127.0.0.1:${port}: another process listens there already; stop it or choose another port`,
    );
  });

  test("the port is in use on every interface", () => {
    const { port } = start("").listener.address;
    expect(failureOf("", port).code).toBe("EADDRINUSE");
  });

  test("another flag, where the address is of another one", () => {
    const { port } = start("127.0.0.1").listener.address;
    const address = { hostname: "127.0.0.1", port };
    const handlers = { open() {}, data() {} };
    expect(() => listen({ address, flag: "--metrics-addr", connectionsMax: 1, handlers })).toThrow(
      `--metrics-addr 127.0.0.1:${port}: another process listens there already`,
    );
  });

  test("the address is not one of this machine", () => {
    // RFC 5737: an address for documentation.
    expect(failureOf("192.0.2.1").message).toContain("192.0.2.1 is not an address of this machine");
  });

  test("the name does not resolve", () => {
    expect(failureOf("no-such-host.invalid").message).toContain("no-such-host.invalid does not resolve");
  });
});

describe("a port that is shared", () => {
  const handlers = { open() {}, data() {} };
  const share = (port: number): Listener => {
    const listener = listen({
      address: { hostname: "127.0.0.1", port },
      connectionsMax: 1,
      handlers,
      reusePort: true,
    });
    onTestFinished(() => listener.stop());
    return listener;
  };

  test("takes several who share it, and nobody else", () => {
    const { port } = share(0).address;
    expect(share(port).address.port).toBe(port);
    const address = { hostname: "127.0.0.1", port };
    expect(() => listen({ address, connectionsMax: 1, handlers })).toThrow("another process listens there");
  });

  test("is found to be taken by who looks first", () => {
    const { address } = share(0);
    expect(() => refuseTakenPort(address, "--listen-addr")).toThrow(
      `--listen-addr 127.0.0.1:${address.port}: another process listens there already`,
    );
    refuseTakenPort({ ...address, port: 0 }, "--listen-addr");
  });

  test("is free again once somebody has looked", () => {
    const taken = share(0);
    const { port } = taken.address;
    taken.stop();
    refuseTakenPort({ hostname: "127.0.0.1", port }, "--listen-addr");
    expect(share(port).address.port).toBe(port);
  });
});
