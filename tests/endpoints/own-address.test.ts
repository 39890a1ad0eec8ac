import { describe, expect, test } from "bun:test";
import { listenersCollide } from "../../src/endpoints/own-address.ts";
import { parseAddress } from "../../src/net/address.ts";
import { createResolver } from "../../src/net/resolver.ts";

const collide = (first: string, second: string): Promise<boolean> =>
  listenersCollide(parseAddress(first), parseAddress(second), createResolver());

describe("two listeners", () => {
  test.each([
    ["127.0.0.1:1000", "127.0.0.1:1000"],
    ["127.0.0.1:1000", ":1000"],
    ["127.0.0.1:1000", "0.0.0.0:1000"],
    ["127.0.0.1:1000", "[::]:1000"],
    ["127.0.0.1:1000", "[::ffff:127.0.0.1]:1000"],
    [":1000", ":1000"],
    [":1000", "0.0.0.0:1000"],
    ["no-such-host.invalid:1000", "no-such-host.invalid:1000"],
  ])("at %s and %s want the same port", async (first, second) => {
    expect(await collide(first, second)).toBe(true);
    expect(await collide(second, first)).toBe(true);
  });

  test.each([
    ["127.0.0.1:1000", "127.0.0.1:1001"],
    ["127.0.0.1:1000", "127.0.0.2:1000"],
    ["127.0.0.1:0", "127.0.0.1:0"],
    [":0", ":0"],
    ["127.0.0.1:1000", "no-such-host.invalid:1000"],
  ])("at %s and %s do not", async (first, second) => {
    expect(await collide(first, second)).toBe(false);
    expect(await collide(second, first)).toBe(false);
  });
});
