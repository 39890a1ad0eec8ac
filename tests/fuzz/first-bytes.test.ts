/**
 * What the grpc-proxy's port takes a client for by its first bytes: the same for any chunking of them, for HTTP/1.1, for
 * HTTP/2, for either damaged, and for noise. The process stays up.
 *
 * Each input is sent twice on real sockets, in one piece and in several, and what came back is compared.
 */
import { afterAll, beforeAll, expect } from "bun:test";
import { connect } from "node:net";
import type { EtcdCluster } from "../harness/etcd-cluster.ts";
import { startEtcdCluster } from "../harness/etcd-cluster.ts";
import { type EtcdproxyProcess, startGrpcProxy } from "../harness/etcdproxy-process.ts";
import { withDeadline } from "../harness/wait-for.ts";
import type { SeededRandom } from "../faults/seeded-random.ts";
import {
  concat,
  END_STREAM,
  GOAWAY,
  HEADERS,
  parseFrames,
  PREFACE,
  readUint,
  RST_STREAM,
  SETTINGS,
  settings,
  text,
} from "../http2/frames.ts";
import { freshServer } from "../http2/wire.ts";
import { fuzz } from "./fuzz.ts";
import { garbage, mutated, pieces } from "./mutation.ts";

const ANSWER_MS = 20_000;

let etcd: EtcdCluster;
let proxy: EtcdproxyProcess;

beforeAll(async () => {
  etcd = await startEtcdCluster({ members: 1 });
  proxy = await startGrpcProxy(etcd.endpoints);
}, 120_000);

afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await etcd.dispose();
}, 30_000);

const HTTP1 = [
  "GET /nothing HTTP/1.1\r\nhost: etcd\r\nconnection: close\r\n\r\n",
  "POST /etcdserverpb.KV/Range HTTP/1.1\r\nhost: etcd\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
  "PRI /nothing HTTP/1.1\r\nhost: etcd\r\nconnection: close\r\n\r\n",
  "PUT /nothing HTTP/1.1\r\nhost: etcd\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n0\r\n\r\n",
].map(text);

/** An HTTP/2 client that asks for a page that is not there. */
function http2Request(): Uint8Array {
  const fields = [":method", "GET", ":scheme", "http", ":authority", "etcd", ":path", "/nothing"];
  const list = [0, 2, 4, 6].map((at) => [fields[at]!, fields[at + 1]!] as const);
  return concat([PREFACE, settings(), freshServer().headers(1, list, END_STREAM)]);
}

function firstBytes(random: SeededRandom): Uint8Array {
  const valid = random.chance(0.5) ? random.pick(HTTP1) : http2Request();
  switch (random.below(5)) {
    case 0:
      return garbage(random, 60);
    case 1:
    case 2: {
      // The damage lies where the choice is made.
      const head = mutated(valid.subarray(0, random.pick([4, 5, 24])), random, [PREFACE]);
      return random.chance(0.5) ? head : concat([head, valid.subarray(head.length)]);
    }
    case 3:
      return mutated(valid, random, HTTP1);
    default:
      return valid;
  }
}

/**
 * Sends the chunks, then no more. Resolves with all that came back until the connection was closed; null when it was reset:
 * who still sends when he is refused may not hear why (RFC 9112 §9.6).
 */
function answerTo(chunks: readonly Uint8Array[]): Promise<Uint8Array | null> {
  const [host, port] = proxy.address.split(":");
  const answer = new Promise<Uint8Array | null>((resolve) => {
    const received: Uint8Array[] = [];
    let wasReset = false;
    const socket = connect({ host: host!, port: Number(port), noDelay: true, allowHalfOpen: true });
    socket.on("data", (chunk) => received.push(Uint8Array.from(Buffer.from(chunk))));
    socket.on("end", () => socket.end());
    socket.on("error", () => {
      wasReset = true; // Its close follows.
    });
    socket.on("close", () => resolve(wasReset ? null : concat(received)));
    socket.on("connect", () => {
      void (async () => {
        for (const chunk of chunks) {
          await new Promise<void>((sent) => socket.write(chunk, () => sent()));
          await new Promise<void>((turn) => setImmediate(turn));
        }
        socket.end();
      })();
    });
  });
  return withDeadline(answer, () => "the port's answer", ANSWER_MS);
}

/** What a client learns: nothing, a status in HTTP/1.1, or HTTP/2 and how its request and the connection ended. */
function told(answer: Uint8Array): string {
  const line = Buffer.from(answer).toString("latin1").split("\r\n", 1)[0]!;
  if (answer.length === 0) return "nothing";
  if (line.startsWith("HTTP/1.1 ")) return line;
  const frames = parseFrames(answer);
  if (frames[0]?.type !== SETTINGS) return `no protocol: ${line}`;
  const parts = frames.flatMap(({ type, streamId, payload }) => {
    if (type === HEADERS) return [`HEADERS ${streamId}`];
    if (type === RST_STREAM) return [`RST_STREAM ${streamId} ${readUint(payload, 0)}`];
    return type === GOAWAY ? [`GOAWAY ${readUint(payload, 4)}`] : [];
  });
  return ["HTTP/2", ...parts].join(", ");
}

fuzz("first bytes are told apart in the same way for any chunking", { inputs: 150 }, async (random) => {
  const bytes = firstBytes(random);
  const chunks = pieces(bytes, random).slice(0, 40);
  const sent = concat(chunks);
  const answers = [await answerTo([sent]), await answerTo(chunks)];
  const [whole, cut] = answers.map((answer) => (answer === null ? undefined : told(answer)));
  expect(proxy.running).toBe(true);
  if (whole === undefined || cut === undefined) return;
  // Whether an answer is still written before what follows its request is refused is a matter of time.
  const followed = whole.startsWith("HTTP/1.1") && /\n\r?\n[^]/.test(Buffer.from(sent).toString("latin1"));
  if (followed) expect(cut).toStartWith("HTTP/1.1");
  else expect(cut).toBe(whole);
  // A client that says the first four bytes of the preface hears HTTP/2, and no other one does.
  const speaksHttp2 = Buffer.from(sent.subarray(0, 4)).toString("latin1") === "PRI ";
  expect(whole.startsWith("HTTP/2")).toBe(speaksHttp2);
});
