import { afterAll, beforeAll, expect, test } from "bun:test";
import { BareClient } from "../faults/bare-client.ts";
import { freePorts } from "./free-ports.ts";
import { TcpRelay } from "./tcp-relay.ts";
import { waitFor } from "./wait-for.ts";

const DELAY_MS = 100;

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Sends back what it is sent, and hangs up at the end of it. */
let echo: Bun.TCPSocketListener;
let relay: TcpRelay;
/** What the relay has been told by its clients. */
let relayed = "";
beforeAll(() => {
  echo = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    allowHalfOpen: true,
    socket: {
      data: (socket, chunk) => void socket.write(chunk),
      end: (socket) => void socket.end(),
    },
  });
  const tap = {
    onClientBytes: (chunk: Uint8Array) => void (relayed += Buffer.from(chunk).toString()),
    onTargetBytes() {},
  };
  relay = new TcpRelay(`127.0.0.1:${echo.port}`, { tap: () => tap });
});
afterAll(() => {
  relay[Symbol.dispose]();
  echo.stop(true);
});

async function echoed(client: BareClient, text: string): Promise<number> {
  const askedMs = performance.now();
  await waitFor("the echo", () => client.receivedText === text);
  return performance.now() - askedMs;
}

test("a relay that delays carries all, late, in order, both ways", async () => {
  using client = await BareClient.connect(relay.endpoint);
  relay.delay(DELAY_MS);
  client.send(bytes("one "));
  await waitFor("the relay to have it", () => relayed === "one ");
  client.send(bytes("two"));
  expect(await echoed(client, "one two")).toBeGreaterThanOrEqual(2 * DELAY_MS - 5);
});

test("a relay that passes again carries what was late before what comes now", async () => {
  using client = await BareClient.connect(relay.endpoint);
  relay.delay(60_000);
  client.send(bytes("late "));
  await waitFor("the relay to have it", () => relayed.endsWith("late "));
  relay.pass();
  client.send(bytes("now"));
  await echoed(client, "late now");
});

test("a relay that listens as its target does refuses clients while that is gone", async () => {
  const listen = (port: number): Bun.TCPSocketListener =>
    Bun.listen({ hostname: "127.0.0.1", port, socket: { data() {} } });
  const target = listen(freePorts(1)[0]!);
  using following = new TcpRelay(`127.0.0.1:${target.port}`, { listensAsTarget: true });
  const { endpoint } = following;
  using client = await BareClient.connect(endpoint);
  await waitFor("the relay to carry", () => following.connections === 1);

  target.stop(true);
  await client.closed;
  await waitFor("clients to be refused", () =>
    BareClient.connect(endpoint).then(
      (taken) => {
        taken.reset();
        return false;
      },
      () => true,
    ),
  );

  using again = { target: listen(target.port), [Symbol.dispose]: () => again.target.stop(true) };
  await waitFor("clients to be taken", () =>
    BareClient.connect(endpoint).then((taken) => (taken.reset(), true)),
  );
});
