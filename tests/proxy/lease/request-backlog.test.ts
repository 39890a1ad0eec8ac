import { describe, expect, test } from "bun:test";
import { RequestBacklog } from "../../../src/proxy/lease/request-backlog.ts";

const MARGIN_BYTES = 2;

function add(backlog: RequestBacklog, request: Uint8Array): void {
  const buffer = new Uint8Array(request.length + 2 * MARGIN_BYTES).fill(0xee);
  buffer.set(request, MARGIN_BYTES);
  backlog.add(buffer, MARGIN_BYTES, MARGIN_BYTES + request.length);
  buffer.fill(0xdd);
}

function take(backlog: RequestBacklog): number[] | undefined {
  let request: number[] | undefined;
  backlog.take((bytes, start, end) => {
    request = [...bytes.subarray(start, end)];
  });
  return request;
}

describe("requests that wait", () => {
  test("come out as they came, the oldest first, empty ones too", () => {
    const backlog = new RequestBacklog();
    const requests = [[1, 2, 3], [], [4]];
    for (const request of requests) add(backlog, Uint8Array.from(request));
    expect(requests.map(() => take(backlog))).toEqual(requests);
    expect([backlog.empty, take(backlog)]).toEqual([true, undefined]);
  });

  test("take little more than their bytes, however many pass through", () => {
    const backlog = new RequestBacklog();
    add(backlog, new Uint8Array(10));
    for (let i = 0; i < 10_000; i++) {
      add(backlog, new Uint8Array(10).fill(i & 0xff));
      take(backlog);
      expect(backlog.heldBytes).toBeLessThanOrEqual(256);
    }
    expect(take(backlog)).toEqual(Array<number>(10).fill(9999 & 0xff));
  });

  test("take little more than their bytes, however many there are, and give them back as they are taken", () => {
    const backlog = new RequestBacklog();
    const bytes = 10_000 * 14;
    for (let i = 0; i < 10_000; i++) add(backlog, new Uint8Array(10).fill(i & 0xff));
    expect(backlog.heldBytes).toBeLessThanOrEqual(bytes + 16 * 1024);
    for (let i = 0; i < 9_000; i++) expect(take(backlog)).toEqual(Array<number>(10).fill(i & 0xff));
    expect(backlog.heldBytes).toBeLessThanOrEqual(bytes / 10 + 16 * 1024);
  });

  test("longer than a block come out whole", () => {
    const backlog = new RequestBacklog();
    for (const size of [3, 20_000, 4]) add(backlog, new Uint8Array(size).fill(size & 0xff));
    expect([take(backlog), take(backlog)?.length, take(backlog)]).toEqual([[3, 3, 3], 20_000, [4, 4, 4, 4]]);
  });

  test("are forgotten together, and tell their length with prefixes", () => {
    const backlog = new RequestBacklog();
    add(backlog, new Uint8Array(10));
    add(backlog, new Uint8Array(0));
    expect([backlog.clear(), backlog.empty, backlog.heldBytes]).toEqual([20, true, 0]);
  });
});
