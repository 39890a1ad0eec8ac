/** HTTP/1.1: what may not be taken for another request, and clients that drip, pipeline and do not read. */
import { describe, expect, test } from "bun:test";
import type { BareClient } from "../faults/bare-client.ts";
import { MIB } from "../faults/memory.ts";
import { waitFor, withDeadline } from "../harness/wait-for.ts";
import { concat } from "../http2/frames.ts";
import { useScene } from "./scene.ts";

const scene = useScene({ flags: [`--max-buffer-bytes=${64 * MIB}`] });

const CALL = "POST /etcdserverpb.KV/Range HTTP/1.1\r\nHost: etcd\r\nContent-Type: application/json\r\n";
const BODY = '{"key":"Zm9v"}';
/** What must not be taken for a request of its own. */
const SECOND = "GET /health HTTP/1.1\r\nHost: etcd\r\n\r\n";
const chunked = (rest: string): string => `${CALL}Transfer-Encoding: chunked\r\n\r\n${rest}${SECOND}`;
const get = (rest: string): string => `GET /health HTTP/1.1\r\nHost: etcd\r\n${rest}\r\n`;

function latin1(content: string): Uint8Array {
  return Buffer.from(content, "latin1");
}

/** Every status line that the other side has sent. */
function statuses(client: BareClient): string[] {
  return client.receivedText.match(/HTTP\/1\.[01] \d{3}/g) ?? [];
}

const refused: readonly (readonly [what: string, request: string])[] = [
  [
    "Content-Length and Transfer-Encoding",
    `${CALL}Content-Length: 14\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  ],
  [
    "Transfer-Encoding and Content-Length",
    `${CALL}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n`,
  ],
  ["two different Content-Lengths", `${CALL}Content-Length: 14\r\nContent-Length: 15\r\n\r\n${BODY}`],
  ["a list of Content-Lengths", `${CALL}Content-Length: 14, 14\r\n\r\n${BODY}`],
  ["Content-Length with a sign", `${CALL}Content-Length: +14\r\n\r\n${BODY}`],
  ["a negative Content-Length", `${CALL}Content-Length: -1\r\n\r\n${BODY}`],
  ["a hexadecimal Content-Length", `${CALL}Content-Length: 0x0e\r\n\r\n${BODY}`],
  ["a Content-Length beyond 64 bits", `${CALL}Content-Length: 18446744073709551630\r\n\r\n${BODY}`],
  ["an empty Content-Length", `${CALL}Content-Length: \r\n\r\n`],
  ...[
    "chunked, identity",
    "identity, chunked",
    "gzip, chunked",
    "xchunked",
    "identity",
    "chunked, chunked",
    '"chunked"',
    "chunked;q=1",
    "\u000bchunked",
    "",
  ].map(
    (coding) =>
      [
        `Transfer-Encoding: ${JSON.stringify(coding)}`,
        `${CALL}Transfer-Encoding:${coding}\r\n\r\n0\r\n\r\n`,
      ] as const,
  ),
  [
    "two Transfer-Encodings",
    `${CALL}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n`,
  ],
  ["a space before the colon", `${CALL}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n`],
  ["a folded field", `${CALL}X-Note: a\r\n b\r\nContent-Length: 0\r\n\r\n`],
  ["a folded Transfer-Encoding", `${CALL}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n`],
  ["bare LF as line ends", "GET /health HTTP/1.1\nHost: etcd\n\n"],
  ["one bare LF", "GET /health HTTP/1.1\r\nHost: etcd\nX-Note: a\r\n\r\n"],
  ["a bare CR in a value", get("X-Note: a\rb\r\n")],
  ["NUL in a value", get("X-Note: a\0b\r\n")],
  ["NUL in a name", get("X\0: a\r\n")],
  ["NUL in the target", "GET /hea\0lth HTTP/1.1\r\nHost: etcd\r\n\r\n"],
  ["a control character in the target", "GET /hea\u0001lth HTTP/1.1\r\nHost: etcd\r\n\r\n"],
  ["an octet above 127 in the target", "GET /hea\u00fflth HTTP/1.1\r\nHost: etcd\r\n\r\n"],
  ["a space in a name", get("X Note: a\r\n")],
  ["an empty name", get(": a\r\n")],
  ["a line without a colon", get("X-Note\r\n")],
  ["a chunk size that is no number", chunked("zz\r\n")],
  ["a chunk size with 0x", chunked("0x0\r\n\r\n")],
  ["a negative chunk size", chunked("-1\r\n")],
  ["a chunk size beyond 64 bits", chunked("10000000000000000\r\n")],
  ["spaces behind a chunk size", chunked("0 \r\n\r\n")],
  ["a chunk that ends with LF", chunked(`e\n${BODY}\n0\n\n`)],
  ["LF in a chunk extension", chunked("0;a\nb\r\n\r\n")],
  ["a chunk longer than its size", chunked(`d\r\n${BODY}\r\n0\r\n\r\n`)],
  ["Content-Length as a trailer", chunked("0\r\nContent-Length: 5\r\n\r\n")],
  ["Transfer-Encoding as a trailer", chunked("0\r\nTransfer-Encoding: chunked\r\n\r\n")],
  ["a target of another host", "GET http://other/health HTTP/1.1\r\nHost: etcd\r\n\r\n"],
  ["a target of another port", "GET http://etcd:1/health HTTP/1.1\r\nHost: etcd\r\n\r\n"],
  ["a target with a user", "GET http://a@etcd/health HTTP/1.1\r\nHost: etcd\r\n\r\n"],
  ["a target with a fragment", "GET http://etcd/health#a HTTP/1.1\r\nHost: etcd\r\n\r\n"],
  ["a target with another scheme", "GET ftp://etcd/health HTTP/1.1\r\nHost: etcd\r\n\r\n"],
  [
    "a target that is a URL, and two Hosts",
    "GET http://etcd/health HTTP/1.1\r\nHost: etcd\r\nHost: other\r\n\r\n",
  ],
  ["CONNECT", "CONNECT other:80 HTTP/1.1\r\nHost: other\r\n\r\n"],
  ["OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: etcd\r\n\r\n"],
  ["a target without a slash", "GET health HTTP/1.1\r\nHost: etcd\r\n\r\n"],
  ["no Host", "GET /health HTTP/1.1\r\n\r\n"],
  ["two Hosts", get("Host: other\r\n")],
  ["a Host that is none", "GET /health HTTP/1.1\r\nHost: a b@c/d\r\n\r\n"],
  ["HTTP/0.9", "GET /health\r\n\r\n"],
  ["HTTP/1.2", "GET /health HTTP/1.2\r\nHost: etcd\r\n\r\n"],
  ["HTTP/2.0 in words", "GET /health HTTP/2.0\r\nHost: etcd\r\n\r\n"],
  [
    "Transfer-Encoding in HTTP/1.0",
    `POST /etcdserverpb.KV/Range HTTP/1.0\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  ],
  ["an unknown method", "FOO /health HTTP/1.1\r\nHost: etcd\r\n\r\n"],
  ["a TLS handshake", `\u0016\u0003\u0001\0\u00a5\u0001\0\0\u00a1\u0003\u0003${"\0".repeat(160)}`],
  ["garbage", String.fromCharCode(...Array.from({ length: 2048 }, (_, i) => (i * 89 + 7) % 256))],
];

describe("a request that two servers could take for different ones is refused, and nothing behind it is served", () => {
  test.each(refused)("%s", async (_what, request) => {
    using client = await scene.connect();
    client.send(latin1(request), latin1(SECOND));
    await withDeadline(client.closed, () => `the connection to be closed; it said ${client.receivedText}`);
    expect(statuses(client)).toEqual(["HTTP/1.1 400"]);
  });

  const oversized: readonly (readonly [what: string, status: string, request: string])[] = [
    ["a target of 1 MiB", "HTTP/1.1 431", `GET /${"a".repeat(MIB)} HTTP/1.1\r\nHost: etcd\r\n\r\n`],
    ["a field of 40 KiB", "HTTP/1.1 431", get(`X-Note: ${"a".repeat(40 * 1024)}\r\n`)],
    ["5000 fields", "HTTP/1.1 431", get("a:b\r\n".repeat(5000))],
    ["5000 trailers", "HTTP/1.1 431", chunked(`0\r\n${"a: b\r\n".repeat(5000)}\r\n`)],
    ["a chunk extension of 200 KiB", "HTTP/1.1 413", chunked(`0;${"a".repeat(200 * 1024)}\r\n\r\n`)],
    [
      "an expectation nobody knows",
      "HTTP/1.1 417",
      `${CALL}Expect: 200-ok\r\nContent-Length: 14\r\n\r\n${BODY}`,
    ],
  ];
  test.each(oversized)("%s", async (_what, status, request) => {
    using client = await scene.connect();
    client.send(latin1(request), latin1(SECOND));
    await withDeadline(client.closed, () => "the connection to be closed");
    expect(statuses(client).filter((each) => each !== status)).toEqual([]);
  });

  test.each([
    [
      "h2c",
      get("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"),
    ],
    ["websocket", get("Connection: Upgrade\r\nUpgrade: websocket\r\n")],
    ["h2c with a body", `${CALL}Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 14\r\n\r\n${BODY}`],
  ])(
    "an upgrade to %s is passed over, and the connection closed behind the answer",
    async (_what, request) => {
      using client = await scene.connect();
      client.send(latin1(request), latin1(SECOND));
      await withDeadline(client.closed, () => "the connection to be closed");
      expect(statuses(client)).toEqual(["HTTP/1.1 200"]);
    },
  );

  // RFC 9112 §3.2.2: a server has to take them, though only clients of proxies write them.
  test.each([
    ["a page", "GET http://ETCD/health HTTP/1.1\r\nHost: etcd\r\n\r\n", '"health"'],
    [
      "a page with a query",
      "GET HTTP://etcd/health?serializable=true HTTP/1.1\r\nHost: etcd\r\n\r\n",
      '"health"',
    ],
    ["a call", CALL.replace("POST /", "POST http://etcd/") + `Content-Length: 14\r\n\r\n${BODY}`, '"header"'],
  ])("a target that is a URL of the host is taken: %s", async (_what, request, answer) => {
    using client = await scene.connect();
    client.send(latin1(request), latin1(SECOND));
    await waitFor("both answers", () => statuses(client).length === 2);
    expect(statuses(client)).toEqual(["HTTP/1.1 200", "HTTP/1.1 200"]);
    expect(client.receivedText).toContain(answer);
  });

  test("pipelined requests are answered in their order", async () => {
    using client = await scene.connect();
    client.send(
      latin1(`${CALL}Content-Length: 14\r\n\r\n${BODY}${get("")}${CALL}Content-Length: 14\r\n\r\n${BODY}`),
    );
    await waitFor("three answers", () => statuses(client).length === 3);
    const types = client.receivedText.match(/"header"|"health"/g);
    expect(types).toEqual(['"header"', '"health"', '"header"']);
  });
});

/** Sends a byte of `drip` now and then, until the connection is closed. */
async function drip(client: BareClient, first: string, dripped: string): Promise<void> {
  client.send(latin1(first));
  for (let i = 0; !client.isClosed; i++) {
    client.send(latin1(dripped[i % dripped.length]!));
    await Promise.race([client.closed, Bun.sleep(400)]);
  }
}

describe("clients that take their time", () => {
  const drips: readonly (readonly [limit: string, first: string, dripped: string])[] = [
    ["headerTime", "GET /health HTTP/1.1\r\nHost: etcd\r\nX-Note: ", "a"],
    ["bodyTime", `${CALL}Content-Length: 100000\r\n\r\n`, " "],
    ["bodyTime", `${CALL}Transfer-Encoding: chunked\r\n\r\n`, "1\r\n \r\n"],
  ];
  test("headers and bodies that drip are cut", async () => {
    const clients = await Promise.all(drips.map(() => scene.connect()));
    await scene.attack(async () => {
      const cut = drips.map(([, first, dripped], index) => drip(clients[index]!, first, dripped));
      await withDeadline(Promise.all(cut), () => "the drips to be cut", 60_000);
    });
    await scene.limitLine("headerTime", clients[0]!);
    expect(scene.limitLines("bodyTime").length).toBeGreaterThan(0);
  });

  test("a body of any size that comes well is taken, to its refusal", async () => {
    using client = await scene.connect();
    await scene.attack(
      async () => {
        client.send(latin1(`${CALL}Content-Length: 104857600\r\n\r\n`));
        await client.flood((i) => (i === 200 ? null : new Uint8Array(MIB / 2).fill(0x20)));
        await withDeadline(client.closed, () => "the endless body to be cut");
      },
      { limit: "messageSize" },
    );
    await scene.limitLine("messageSize", client);
  });
});

describe("clients that pipeline", () => {
  test("many requests and read no answer hold no more than they have sent", async () => {
    using client = await scene.connect();
    client.stopReading();
    const requests = latin1(get("").repeat(1000));
    await scene.attack(
      () => Promise.race([client.flood((i) => (i === 300 ? null : requests)), Bun.sleep(8000)]),
      {
        growthBytesMax: 64 * MIB,
      },
    );
    expect(client.isClosed).toBe(false);
  });

  test("tiny requests by the thousands are answered one by one", async () => {
    using client = await scene.connect();
    await scene.attack(async () => {
      client.send(latin1(`${CALL}Content-Length: 14\r\n\r\n${BODY}`));
      client.send(latin1("GET / HTTP/1.1\r\nHost:\r\n\r\n".repeat(1000)));
      await waitFor("all answers", () => statuses(client).length === 1001);
    });
    expect(statuses(client).slice(0, 2)).toEqual(["HTTP/1.1 200", "HTTP/1.1 404"]);
  });
});

test("bodies that never end, on many connections, cost the ones that hold most", async () => {
  const clients = await Promise.all(Array.from({ length: 100 }, () => scene.connect()));
  await scene.attack(
    async () => {
      for (const client of clients) {
        client.send(
          concat([latin1(`${CALL}Content-Length: 1500000\r\n\r\n`), new Uint8Array(MIB).fill(0x20)]),
        );
      }
      await waitFor("connections to be given up", () => clients.some(({ isClosed }) => isClosed));
    },
    { limit: "processBuffers", growthBytesMax: 320 * MIB },
  );
  expect(scene.limitLines("processBuffers").length).toBeGreaterThan(0);
  for (const client of clients) client[Symbol.dispose]();
});
