/** Pages of a member's, passed on: of the first that answers well, and never of one that does not. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createServer, type Server } from "node:https";
import { createServer as createTcpServer, type Socket } from "node:net";
import { createEndpoint, type Endpoint } from "../../src/endpoints/endpoint.ts";
import { createLogger } from "../../src/observe/log.ts";
import type { Page } from "../../src/observe/page.ts";
import {
  MEMBER_METRICS,
  MEMBER_VERSION,
  memberPage,
  type MemberPageKind,
} from "../../src/proxy/pages/member-page.ts";
import { MemberTls } from "../../src/tls/member-tls.ts";
import { StandInMember } from "../grpc/stand-in-member.ts";
import { CertificateAuthority, type IssuedCertificate } from "../harness/certificates.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";

const VERSION = '{"etcdserver":"3.6.5","etcdcluster":"3.6.0"}';
const METRICS = "up 1\n";
const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

const text = ({ body }: Page): string => new TextDecoder().decode(body);

type Answering = Bun.Server<undefined>;

/** Answers every request so. */
const member = (answer: (request: Request) => Response | Promise<Response>): Answering =>
  Bun.serve({ hostname: "127.0.0.1", port: 0, idleTimeout: 60, fetch: answer });

/** Answers as a member does. */
const wellMember = (): Answering =>
  member((request) => {
    const { pathname } = new URL(request.url);
    const [type, body] = pathname === "/version" ? ["application/json", VERSION] : [METRICS_TYPE, METRICS];
    return new Response(body, { headers: { "content-type": type } });
  });

const endpointOf = (server: { port?: number | undefined }): Endpoint =>
  createEndpoint("http", "127.0.0.1", server.port!);

const kinds: readonly [MemberPageKind, string, string][] = [
  [MEMBER_METRICS, METRICS_TYPE, METRICS],
  [MEMBER_VERSION, "application/json", VERSION],
];

/** Bytes without end. */
const endless = (): Response =>
  new Response(
    new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(64 * 1024)),
    }),
    { headers: { "content-type": "text/plain" } },
  );

/** Never whole. */
const drips = (): Response =>
  new Response(
    new ReadableStream<Uint8Array>({
      async pull(controller) {
        await Bun.sleep(100);
        controller.enqueue(new Uint8Array(1));
      },
    }),
    { headers: { "content-type": "text/plain" } },
  );

const badAnswers: readonly [string, () => Response | Promise<Response>][] = [
  ["answers 404", () => new Response(VERSION, { status: 404 })],
  ["answers 500", () => new Response(VERSION, { status: 500 })],
  ["leads elsewhere", () => new Response(null, { status: 302, headers: { location: "/elsewhere" } })],
  ["answers with a web page", () => new Response("<p>", { headers: { "content-type": "text/html" } })],
  ["never ends", endless],
  ["answers byte by byte", drips],
  ["hangs", () => new Promise<Response>(() => {})],
];

describe.each(kinds)("$path", (kind, contentType, body) => {
  test("is the first member's page", async () => {
    await using first = wellMember();
    await using second = member(() => new Response("no", { status: 500 }));
    const page = await memberPage(kind, [endpointOf(first), endpointOf(second)]);
    expect([page.status, page.contentType, text(page)]).toEqual([200, contentType, body]);
  });

  test.each(badAnswers)("is the next member's when the first one %s", async (_what, answer) => {
    await using ill = member(answer);
    await using well = wellMember();
    const page = await memberPage(kind, [endpointOf(ill), endpointOf(well)]);
    expect([page.status, text(page)]).toEqual([200, body]);
  });

  test("is the next member's when the first one ends in the middle of it", async () => {
    using halfway = new RawMember((socket) => {
      socket.end(`HTTP/1.1 200 OK\r\nContent-Type: ${contentType}\r\nContent-Length: 1000\r\n\r\n${body}`);
    });
    await using well = wellMember();
    const page = await memberPage(kind, [await halfway.endpoint(), endpointOf(well)]);
    expect([page.status, text(page)]).toEqual([200, body]);
    const alone = await memberPage(kind, [await halfway.endpoint()]);
    expect(alone.status).toBe(502);
  });

  test("is the next member's when the first one speaks no HTTP", async () => {
    using garbage = new RawMember((socket) => socket.end("\x00\x01\x02 garbage\r\n\r\n"));
    await using well = wellMember();
    const page = await memberPage(kind, [await garbage.endpoint(), endpointOf(well)]);
    expect([page.status, text(page)]).toEqual([200, body]);
  });

  test("is given up when it has become larger than it can be", async () => {
    await using ill = member(endless);
    const page = await memberPage(kind, [endpointOf(ill)]);
    expect([page.status, text(page)]).toEqual([
      502,
      expect.stringContaining(`more than ${kind.bytesMax} bytes\n`),
    ]);
  });

  test("comes though several members hang", async () => {
    const hanging = Array.from({ length: 4 }, () => member(() => new Promise<Response>(() => {})));
    await using well = wellMember();
    const page = await memberPage(kind, [...hanging, well].map(endpointOf));
    expect([page.status, text(page)]).toEqual([200, body]);
    await Promise.all(hanging.map((server) => server.stop(true)));
  });

  test("without any member names each with its reason, in their order", async () => {
    await using ill = member(() => new Response("no", { status: 500 }));
    await using hanging = member(() => new Promise<Response>(() => {}));
    using gone = new StandInMember();
    gone.down();
    const page = await memberPage(kind, [endpointOf(hanging), endpointOf(ill), gone.endpoint]);
    expect(page.status).toBe(502);
    const [first, ...reasons] = text(page).trimEnd().split("\n");
    expect(first).toBe(`no member answered for its ${kind.name}`);
    expect(reasons).toEqual([
      `${endpointOf(hanging).name}: no answer within 3000 ms`,
      `${endpointOf(ill).name}: HTTP status 500`,
      expect.stringContaining(`${gone.endpoint.name}: `),
    ]);
  });
});

describe("/version", () => {
  test.each(["", "ok", "[]", "null", '"3.6.5"', "{}", '{"etcdserver":', '{"version":"1"}'])(
    "is not %p",
    async (answer) => {
      await using ill = member(() => new Response(answer));
      const page = await memberPage(MEMBER_VERSION, [endpointOf(ill)]);
      expect([page.status, text(page)]).toEqual([502, expect.stringContaining("tells no version of etcd")]);
    },
  );
});

describe("a member that is https", () => {
  const folder = new TemporaryFolder("memberpage");
  const log = createLogger({ level: "error", output: "json", destination: { write() {} } });
  let authority: CertificateAuthority;
  let shown: IssuedCertificate;
  let server: Server;
  let impostor: Server;
  let hanging: Server;

  async function secure(served: IssuedCertificate, answer: string | null): Promise<Server> {
    const options = {
      cert: served.certificatePem,
      key: served.keyPem,
      ca: authority.certificatePem,
      requestCert: true,
    };
    const made = createServer(options, (_request, response) => {
      if (answer !== null) response.writeHead(200, { "content-type": "application/json" }).end(answer);
    });
    await new Promise<void>((resolve) => made.listen(0, "127.0.0.1", resolve));
    return made;
  }

  beforeAll(async () => {
    authority = await CertificateAuthority.create(folder, "members");
    const others = await CertificateAuthority.create(folder, "others");
    shown = await authority.client("proxy-to-members");
    server = await secure(await authority.server("member"), VERSION);
    impostor = await secure(await others.server("impostor"), '{"etcdserver":"6.6.6"}');
    hanging = await secure(await authority.server("hanging"), null);
  });
  afterAll(() => {
    for (const each of [server, impostor, hanging]) {
      each.closeAllConnections();
      each.close();
    }
    folder[Symbol.dispose]();
  });

  const secureEndpoint = (of: Server): Endpoint =>
    createEndpoint("https", "127.0.0.1", (of.address() as { port: number }).port);

  const memberTls = (pair: IssuedCertificate | null): MemberTls =>
    MemberTls.load({
      pair: pair && {
        certificate: { flag: "--cert", path: pair.certificateFile },
        key: { flag: "--key", path: pair.keyFile },
      },
      trustedCa: { flag: "--cacert", path: authority.file },
      verify: true,
      log,
    });

  test("is asked with the proxy's own certificate, and has to be one that is trusted", async () => {
    const tls = memberTls(shown);
    const page = await memberPage(MEMBER_VERSION, [secureEndpoint(impostor), secureEndpoint(server)], {
      tls,
    });
    expect([page.status, text(page)]).toEqual([200, VERSION]);
    const alone = await memberPage(MEMBER_VERSION, [secureEndpoint(impostor)], { tls });
    expect(alone.status).toBe(502);
  });

  test("is not waited for alone when it hangs", async () => {
    const endpoints = [secureEndpoint(hanging), secureEndpoint(server)];
    const page = await memberPage(MEMBER_VERSION, endpoints, { tls: memberTls(shown) });
    expect([page.status, text(page)]).toEqual([200, VERSION]);
  });

  test("that wants a certificate refuses a proxy without one", async () => {
    const page = await memberPage(MEMBER_VERSION, [secureEndpoint(server)], { tls: memberTls(null) });
    expect(page.status).toBe(502);
  });
});

/** Answers with bytes that need not be HTTP. */
class RawMember implements Disposable {
  readonly #server;
  readonly #listening: Promise<void>;

  constructor(answer: (socket: Socket) => void) {
    this.#server = createTcpServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", () => answer(socket));
    });
    this.#listening = new Promise((resolve) => {
      this.#server.listen(0, "127.0.0.1", resolve);
    });
  }

  async endpoint(): Promise<Endpoint> {
    await this.#listening;
    return createEndpoint("http", "127.0.0.1", (this.#server.address() as { port: number }).port);
  }

  [Symbol.dispose](): void {
    this.#server.close();
  }
}
