/** The socket of the process with itself: nobody else's, and gone when it is not needed. */
import { chmodSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "bun:test";
import { openPrivateSocket, PrivateSocketError } from "../../src/net/private-socket.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";
import { waitFor } from "../harness/wait-for.ts";

const SILENT = { data() {} };

test("lies where nobody else may enter, and its name goes without its connection", async () => {
  using folder = new TemporaryFolder("privatesocket");
  let received = "";
  let ended = false;
  const socket = await openPrivateSocket(
    {
      data: (_socket, chunk) => {
        received += chunk.toString();
      },
      close: () => {
        ended = true;
      },
    },
    [folder.path],
  );
  const [own = ""] = readdirSync(folder.path);
  expect(statSync(folder.file(own)).mode & 0o777).toBe(0o700);
  expect(socket.path).toStartWith(join(folder.path, own));
  const client = await Bun.connect({ unix: socket.path, socket: SILENT });
  await socket.close();
  expect(readdirSync(folder.path)).toEqual([]);
  client.write("hello");
  await waitFor("what was written", () => received === "hello");
  client.end();
  await waitFor("its end", () => ended);
});

test("is opened in the next folder when the first does not do", async () => {
  using folder = new TemporaryFolder("privatesocket");
  const socket = await openPrivateSocket(SILENT, [folder.file("missing"), "/proc", folder.path]);
  expect(socket.path).toStartWith(folder.path);
  await socket.close();
});

test("that cannot be opened anywhere says of each folder why, and leaves nothing", async () => {
  using folder = new TemporaryFolder("privatesocket");
  const deep = folder.file("x".repeat(120));
  await Bun.write(join(deep, "file"), "");
  const missing = folder.file("missing");
  const failure = await openPrivateSocket(SILENT, [missing, deep]).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(PrivateSocketError);
  const { message } = failure as Error;
  expect(message).toContain(`${missing}: ENOENT`);
  expect(message).toContain(`${deep}: a socket's path has at most 107 bytes`);
  expect(readdirSync(deep)).toEqual(["file"]);
});

test("closes though its folder is gone already, or cannot be removed", async () => {
  using folder = new TemporaryFolder("privatesocket");
  const first = await openPrivateSocket(SILENT, [folder.path]);
  rmSync(join(first.path, ".."), { recursive: true });
  await first.close();
  const second = await openPrivateSocket(SILENT, [folder.path]);
  chmodSync(folder.path, 0o500);
  await second.close();
  chmodSync(folder.path, 0o700);
});
