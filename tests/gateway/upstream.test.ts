/** What checks tell the gateway of a member, and what becomes of its dials then. */
import { expect, test } from "bun:test";
import { createEndpoint } from "../../src/endpoints/endpoint.ts";
import { EndpointChoice } from "../../src/endpoints/endpoint-choice.ts";
import { LoopGuard } from "../../src/gateway/loop-guard.ts";
import type { PipeEnd } from "../../src/gateway/pipe.ts";
import { Upstream } from "../../src/gateway/upstream.ts";
import type { DialError } from "../../src/net/dial-error.ts";
import { Dialer } from "../../src/net/dial.ts";
import { RecordedLog } from "./recorded-log.ts";
import { testBlackHole } from "./test-gateway.ts";

const RETRY_DELAY_MS = 60_000;
const now = (): number => performance.now();

test("a member that passes its checks again is dialled at once, though earlier dials are stuck", async () => {
  const { port } = await testBlackHole();
  const endpoint = createEndpoint("http", "127.0.0.1", port);
  const dialer = new Dialer<PipeEnd>({
    timeoutMs: 30,
    retryDelayMs: RETRY_DELAY_MS,
    handlers: { data: () => {} },
  });
  const upstream = new Upstream({
    choice: new EndpointChoice([endpoint], {
      retryDelayMs: RETRY_DELAY_MS,
      random: () => 0,
      balancer: "sticky",
    }),
    dialer,
    stats: {
      connectionsTotal: 0,
      connectionsRefused: 0,
      connectionsFailed: 0,
      connectionsOpen: 0,
      bytesUpstream: 0,
      bytesDownstream: 0,
      dialFailures: new Map(),
    },
    log: new RecordedLog(),
    now,
    loopGuard: new LoopGuard({
      listening: { hostname: "127.0.0.1", port: 1 },
      isOwn: () => false,
      retryDelayMs: RETRY_DELAY_MS,
      now,
    }),
  });
  const failure = (): Promise<string> =>
    new Promise((resolve) => {
      upstream.dialer.start(endpoint, null as never, {
        dialled: () => expect.unreachable(),
        dialFailed: ({ detail }: DialError) => resolve(detail),
      });
    });

  expect(await failure()).toBe("no answer within 30 ms");
  upstream.judged(endpoint, { kind: "silent", reason: "no answer", refused: false });
  expect(await failure()).toBe("no answer to an earlier dial yet");
  upstream.judged(endpoint, { kind: "fit", latencyMs: 1 });
  expect(await failure()).toBe("no answer within 30 ms");
});
