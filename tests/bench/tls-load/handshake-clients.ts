/**
 * Clients that come, shake hands over TLS, and go: several at once, each new one as soon as another has gone.
 *
 * Invariant: a handshake counts when it was a whole one (TLS 1.3, no session of before), each side's certificate was
 * good for the other, and the server closed in answer to the client's end: by then it has done its part, too, which over
 * TLS 1.3 the client cannot know when its own is done. Anything else is an error of the whole load.
 */
import { createSecureContext } from "node:tls";
import {
  type DialTls,
  dialOptions,
  dialTls,
  type HandshakeError,
  serverProblem,
} from "../../../src/net/tls.ts";
import { hostAndPort } from "../host-and-port.ts";
import { LatencyHistogram } from "../load/latency-histogram.ts";
import { nowMicros } from "../load/now-micros.ts";

const STALL_MS = 10_000;

export interface HandshakePlan {
  /** `host:port`. */
  readonly address: string;
  /** Connections at once. */
  readonly connections: number;
  /** The authorities that clients trust, as PEM. */
  readonly trustedCa: string;
  /** What they show, as PEM; nothing when absent. */
  readonly shown?: { readonly certificate: string; readonly key: string };
  /** The key exchange that they offer, the same to every server: it would else be each server's own choice. */
  readonly group: string;
}

/** A load, run to its end. */
export interface HandshakeLoad {
  readonly handshakes: number;
  readonly elapsedSeconds: number;
  /** From the connect to the close by the server. */
  readonly latencies: LatencyHistogram;
}

type ClientSocket = Bun.Socket<ClientState>;

interface ClientState {
  shaken: boolean;
  problem: string;
  readonly ended: (problem: string) => void;
}

/** Makes `count` handshakes. @throws Error when one is not as it should be, or nothing happens for ten seconds. */
export async function shakeHands(plan: HandshakePlan, count: number): Promise<HandshakeLoad> {
  const tls = clientTls(plan);
  const latencies = new LatencyHistogram();
  let begun = 0;
  let finished = 0;
  const slot = async (): Promise<void> => {
    while (begun < count) {
      begun++;
      const beganMicros = nowMicros();
      await shakeOnce(plan.address, tls);
      latencies.add(nowMicros() - beganMicros);
      finished++;
    }
  };
  const startedAtMs = performance.now();
  let stall: ReturnType<typeof setInterval> | undefined;
  const stalled = new Promise<never>((_resolve, reject) => {
    let seen = 0;
    stall = setInterval(() => {
      if (finished === seen) reject(new Error(`no handshake within ${STALL_MS} ms`));
      seen = finished;
    }, STALL_MS);
  });
  try {
    await Promise.race([Promise.all(Array.from({ length: plan.connections }, slot)), stalled]);
  } finally {
    clearInterval(stall);
  }
  return { handshakes: finished, elapsedSeconds: (performance.now() - startedAtMs) / 1000, latencies };
}

function clientTls({ address, trustedCa, shown, group }: HandshakePlan): DialTls {
  const context = createSecureContext({
    ca: trustedCa,
    ...(shown === undefined ? {} : { cert: shown.certificate, key: shown.key }),
    ecdhCurve: group,
    minVersion: "TLSv1.3",
  });
  return dialTls({ native: context.context }, hostAndPort(address).hostname, true);
}

function shakeOnce(address: string, tls: DialTls): Promise<void> {
  return new Promise((resolve, reject) => {
    const ended = (problem: string): void => {
      if (problem === "") resolve();
      else reject(new Error(`${address}: ${problem}`));
    };
    Bun.connect<ClientState>({
      ...hostAndPort(address),
      allowHalfOpen: true,
      data: { shaken: false, problem: "", ended },
      tls: dialOptions(tls),
      socket: HANDLERS,
    }).catch(reject);
  });
}

const HANDLERS = {
  data() {},
  handshake(socket: ClientSocket, ok: boolean, error: HandshakeError) {
    const state = socket.data;
    state.shaken = true;
    state.problem = serverProblem(ok, error, true);
    if (state.problem === "") state.problem = shortcutTaken(socket);
    if (state.problem === "") socket.shutdown();
    else socket.terminate();
  },
  end(socket: ClientSocket) {
    socket.end();
  },
  error(socket: ClientSocket, error: Error) {
    socket.data.problem = error.message;
  },
  close(socket: ClientSocket, error?: Error) {
    const { ended, shaken, problem } = socket.data;
    if (problem !== "") ended(problem);
    else if (!shaken) ended("the connection ended before the handshake did");
    else ended(error === undefined ? "" : error.message);
  },
};

/** What makes this no whole handshake of today; "" when it is one. */
function shortcutTaken(socket: ClientSocket): string {
  const version = socket.getTLSVersion();
  if (version !== "TLSv1.3") return `the handshake is one of ${version}`;
  return socket.isSessionReused() ? "the handshake resumes a session" : "";
}
