import { describe, expect, test } from "bun:test";
import {
  AddressError,
  formatAddress,
  isIpLiteral,
  parseAddress,
  parseHostAndPort,
} from "../../src/net/address.ts";

describe("an address", () => {
  test.each([
    ["127.0.0.1:23790", "127.0.0.1", 23790],
    ["[::1]:2379", "::1", 2379],
    ["[fe80::1%lo]:1", "fe80::1%lo", 1],
    ["localhost:0", "localhost", 0],
    ["infra0.example.com:65535", "infra0.example.com", 65535],
    ["infra0.example.com.:2379", "infra0.example.com.", 2379],
    [":23790", "", 23790],
  ])("%s is read", (text, hostname, port) => {
    expect(parseAddress(text)).toEqual({ hostname, port });
  });

  test.each(["127.0.0.1:23790", "[::1]:2379", "infra0.example.com:1", ":80"])(
    "%s is printed as it was read",
    (text) => {
      expect(formatAddress(parseAddress(text))).toBe(text);
    },
  );

  test("may leave its port out where the reader allows it", () => {
    expect(parseHostAndPort("infra0", "a:1")).toEqual({ hostname: "infra0", port: undefined });
    expect(parseHostAndPort("[::1]", "a:1")).toEqual({ hostname: "::1", port: undefined });
  });
});

describe("a bad address is refused with what to write instead:", () => {
  test.each([
    ["127.0.0.1", '"127.0.0.1" has no port: write host:port, such as 127.0.0.1:23790'],
    ["", '"" has no port'],
    ["::1", "write [::1]:port"],
    ["[::1:80", "is not an address"],
    ["[localhost]:80", "no IPv6 address in its brackets"],
    ["a:b:80", 'bad port "b:80"'],
    ["a:", 'bad port ""'],
    ["a:http", 'bad port "http"'],
    ["a:65536", 'bad port "65536"'],
    ["a:-1", 'bad port "-1"'],
    ["300.0.0.1:80", 'bad IPv4 address "300.0.0.1"'],
    ["1.2.3:80", 'bad IPv4 address "1.2.3"'],
    ["a b:80", 'bad host name "a b"'],
    ["a..b:80", 'bad host name "a..b"'],
    ["-a:80", 'bad host name "-a"'],
    [`${"a".repeat(64)}:80`, "bad host name"],
    ["http://127.0.0.1:80", "is a URL: write only host:port"],
  ])("%s", (text, problem) => {
    expect(() => parseAddress(text)).toThrow(AddressError);
    expect(() => parseAddress(text)).toThrow(problem);
  });
});

test.each([
  "root:secret@a:1",
  "http://root:secret@a:1",
  "http://root:x/secret@a",
  "a@b:secret@c:1",
  "@secret@",
])("a password is not repeated: %s", (text) => {
  expect(() => parseAddress(text)).toThrow(/^"(?:http:\/\/)?…@[^"s]*" carries a user name: write only 127/);
});

test("an IP literal is told from a name", () => {
  expect(["127.0.0.1", "::1", "localhost", "1.2.3", ""].map(isIpLiteral)).toEqual([
    true,
    true,
    false,
    false,
    false,
  ]);
});
