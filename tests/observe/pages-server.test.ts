import { afterEach, describe, expect, test } from "bun:test";
import type { Socket } from "bun";
import { textPage, type Pages } from "../../src/observe/page.ts";
import { PAGES_CONNECTIONS_MAX, PagesServer } from "../../src/observe/pages-server.ts";
import { waitFor } from "../harness/wait-for.ts";
import { until } from "../net/until.ts";

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).toReversed()) cleanup();
});

/** A server of one page, which counts how often it is made. */
function start(options: { connectionMsMax?: number } = {}) {
  const made = { count: 0, never: 0 };
  const pages: Pages = (path) => {
    if (path === "/never") {
      return () => {
        made.never++;
        return new Promise(() => {});
      };
    }
    return path === "/page"
      ? async () => {
          made.count++;
          await Bun.sleep(20); // As a page that others are asked for.
          return textPage(200, "the page\n");
        }
      : undefined;
  };
  const server = new PagesServer({
    address: { hostname: "127.0.0.1", port: 0 },
    flag: "--metrics-addr",
    pages,
    ...options,
  });
  cleanups.push(() => server.close());
  return { server, made, url: `http://127.0.0.1:${server.address.port}` };
}

interface Client {
  socket: Socket<undefined>;
  text: string;
  closed: "no" | "orderly" | "reset";
}

async function connect({ server }: ReturnType<typeof start>): Promise<Client> {
  const client = { text: "", closed: "no" } as Client;
  client.socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: server.address.port,
    socket: {
      data(_socket, chunk) {
        client.text += chunk.toString("latin1");
      },
      close(_socket, error) {
        client.closed = error === undefined ? "orderly" : "reset";
      },
    },
  });
  cleanups.push(() => client.socket.terminate());
  return client;
}

/** What a client hears that says `text`, until its connection is over. */
async function hear(started: ReturnType<typeof start>, text: string): Promise<string> {
  const client = await connect(started);
  client.socket.write(text);
  await until(() => client.closed !== "no");
  return client.text;
}

const GET = "GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n";

describe("a page", () => {
  test("is answered to GET, and its connection is closed", async () => {
    const { url } = start();
    const response = await fetch(`${url}/page?query`);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("text/plain; charset=utf-8");
    expect(response.headers.get("connection")).toBe("close");
    expect(await response.text()).toBe("the page\n");
  });

  test("has its head answered to HEAD", async () => {
    const heard = await hear(start(), GET.replace("GET", "HEAD"));
    expect(heard).toStartWith("HTTP/1.1 200 OK\r\n");
    expect(heard.toLowerCase()).toContain("content-length: 9\r\n");
    expect(heard).toEndWith("\r\n\r\n");
  });

  test("is read only", async () => {
    const { url, made } = start();
    const response = await fetch(`${url}/page`, { method: "POST", body: "x".repeat(100_000) });
    expect([response.status, made.count]).toEqual([405, 0]);
  });

  test("that is not there is not found", async () => {
    const { url } = start();
    expect((await fetch(`${url}/other`)).status).toBe(404);
  });

  test("reaches a client that has half-closed behind its request", async () => {
    const client = await connect(start());
    client.socket.write(GET);
    client.socket.shutdown();
    await until(() => client.text.endsWith("the page\n"));
  });
});

describe("a client can make the server spend only so much:", () => {
  test("one request on each connection, whatever comes behind it", async () => {
    const started = start();
    const heard = await hear(started, GET.repeat(10_000));
    expect(heard.split("HTTP/1.1 200 OK").length - 1).toBe(1);
    expect(started.made.count).toBe(1);
  });

  test("a header section of 8 KiB", async () => {
    const field = `x-padding: ${"x".repeat(9_000)}\r\n`;
    expect(await hear(start(), GET.replace("\r\n\r\n", `\r\n${field}\r\n`))).toStartWith("HTTP/1.1 431 ");
  });

  test.each([
    ["what is not HTTP", "\u0016\u0003\u0001\u0002\u0000\r\n\r\n"],
    ["HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    ["CONNECT", "CONNECT localhost:1 HTTP/1.1\r\nHost: localhost:1\r\n\r\n"],
  ])("one answer to %s", async (_what, text) => {
    expect(await hear(start(), text)).toStartWith("HTTP/1.1 400 ");
  });

  test("a request to go over to another protocol is answered in this one, or not at all", async () => {
    const upgrade = GET.replace("\r\n\r\n", "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    expect(await hear(start(), upgrade)).toMatch(/^HTTP\/1\.1 (200|400) /);
  });

  test("a short while, in which it drips its request", async () => {
    const started = start({ connectionMsMax: 300 });
    const client = await connect(started);
    const dripping = setInterval(() => client.socket.write("x"), 20);
    cleanups.push(() => clearInterval(dripping));
    client.socket.write("GET /");
    await until(() => client.closed !== "no");
    expect([client.text, started.made.count]).toEqual(["", 0]);
  });

  test("so many connections that have asked; those of clients that have gone are free again", async () => {
    const started = start();
    const clients: Client[] = [];
    while (clients.length < PAGES_CONNECTIONS_MAX) {
      const client = await connect(started);
      client.socket.write("GET /never HTTP/1.1\r\nHost: localhost\r\n\r\n");
      clients.push(client);
      await until(() => started.made.never === clients.length);
    }
    const further = await connect(started);
    await until(() => further.closed === "reset");
    for (const client of clients) client.socket.terminate();
    await waitFor("a page again", async () => (await hear(started, GET)).includes("the page"));
  });

  test("so many connections that say nothing, the oldest of which makes room", async () => {
    const started = start();
    const clients: Client[] = [];
    while (clients.length < 2 * PAGES_CONNECTIONS_MAX) clients.push(await connect(started));
    expect(await hear(started, GET)).toInclude("the page");
    const closed = clients.map((client) => client.closed !== "no");
    expect(closed.indexOf(false)).toBeGreaterThanOrEqual(PAGES_CONNECTIONS_MAX);
    expect(closed.slice(closed.indexOf(false))).not.toContain(true);
  });
});

test("a server that is closed listens no more and closes its connections", async () => {
  const started = start();
  const client = await connect(started);
  client.socket.write("GET /");
  started.server.close();
  await until(() => client.closed !== "no");
  const refused = await connect(started).catch((error: unknown) => error);
  expect(refused).toMatchObject({ code: "ECONNREFUSED" });
});
