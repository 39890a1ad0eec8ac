import { expect, test } from "bun:test";
import { ByteQueue } from "../../src/grpc/byte-queue.ts";

const piece = (text: string): Uint8Array => new TextEncoder().encode(text);

async function read(queue: ByteQueue): Promise<string> {
  let all = "";
  for await (const bytes of queue) all += new TextDecoder().decode(bytes);
  return all;
}

test("pieces come out in order, those pushed before and those pushed while somebody waits", async () => {
  const queue = new ByteQueue(() => {});
  queue.push(piece("a"));
  queue.push(piece("b"));
  const all = read(queue);
  await Promise.resolve();
  queue.push(piece("c"));
  queue.end();
  expect(await all).toBe("abc");
});

test("the end waits for what was pushed before it", async () => {
  const queue = new ByteQueue(() => {});
  queue.push(piece("a"));
  queue.end();
  expect(await read(queue)).toBe("a");
});

test("an end with an error is thrown behind the last piece", async () => {
  const queue = new ByteQueue(() => {});
  queue.push(piece("a"));
  queue.end(new Error("cut short"));
  const reader = queue[Symbol.asyncIterator]();
  expect((await reader.next()).value).toEqual(piece("a"));
  await expect(reader.next()).rejects.toThrow("cut short");
});

test("the first end counts", async () => {
  const queue = new ByteQueue(() => {});
  queue.end();
  queue.end(new Error("too late"));
  expect(await read(queue)).toBe("");
});

test("a piece counts as taken when its reader asks for the next", async () => {
  let taken = 0;
  const queue = new ByteQueue((bytes) => {
    taken += bytes;
  });
  queue.push(piece("four"));
  queue.push(piece("seven.."));
  const reader = queue[Symbol.asyncIterator]();
  await reader.next();
  expect(taken).toBe(0);
  await reader.next();
  expect(taken).toBe(4);
  queue.end();
  await reader.next();
  expect(taken).toBe(11);
});
