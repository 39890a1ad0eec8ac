import { describe, expect, test } from "bun:test";
import { EndpointError, parseEndpoints } from "../../src/endpoints/endpoint.ts";

describe("an endpoint", () => {
  test.each([
    ["127.0.0.1:2379", "unstated", "127.0.0.1", 2379, "127.0.0.1:2379"],
    ["http://10.0.1.10:2380", "http", "10.0.1.10", 2380, "10.0.1.10:2380"],
    ["https://infra0.example.com:2379/", "https", "infra0.example.com", 2379, "infra0.example.com:2379"],
    ["infra0.example.com", "unstated", "infra0.example.com", 2379, "infra0.example.com:2379"],
    ["https://infra0", "https", "infra0", 2379, "infra0:2379"],
    ["HTTP://Infra0.Example.COM.", "http", "infra0.example.com", 2379, "infra0.example.com:2379"],
    ["[::1]:2379", "unstated", "::1", 2379, "[::1]:2379"],
    ["http://[fd00::1]", "http", "fd00::1", 2379, "[fd00::1]:2379"],
    ["  localhost ", "unstated", "localhost", 2379, "localhost:2379"],
  ])("%s is read", (text, scheme, hostname, port, name) => {
    expect(parseEndpoints(text) as unknown).toEqual([
      { scheme, hostname, port, name, priority: 0, weight: 1 },
    ]);
  });
});

describe("a list of endpoints", () => {
  const names = (lists: string | string[]): string[] => parseEndpoints(lists).map(({ name }) => name);

  test("keeps its order, over commas, spaces and repeated flags", () => {
    expect(names(["c:1, a:1", "b:1"])).toEqual(["c:1", "a:1", "b:1"]);
  });

  test("names each address once", () => {
    expect(names("a:1,b:1,http://a:1/,A:1,b:1")).toEqual(["a:1", "b:1"]);
  });

  test("keeps the scheme of an address that is named with and without one", () => {
    expect(parseEndpoints("a:1,https://a:1").map(({ scheme }) => scheme)).toEqual(["https"]);
    expect(parseEndpoints("https://a:1,a:1").map(({ scheme }) => scheme)).toEqual(["https"]);
  });
});

describe("a bad endpoint is refused, naming the flag, the item and what to write:", () => {
  test.each([
    ["", "--endpoints names no member: write at least one, such as 10.0.1.10:2379"],
    [" , ", "--endpoints names no member"],
    ["a:1,,b:1", "--endpoints: an item of the list is empty: write 10.0.1.10:2379, or drop the comma"],
    ["http://a:1/v3", '--endpoints: "http://a:1/v3" has something behind the address: write http://a:1'],
    ["a:1?x=y", '"a:1?x=y" has something behind the address: write a:1'],
    ["ftp://a:1", '"ftp://a:1" has the scheme ftp: write http://, https:// or only host:port'],
    ["unix://a:1", "has the scheme unix"],
    ["http://", '"http://" has no host'],
    [":2379", '":2379" has no host'],
    ["a:0", '"a:0" has port 0'],
    ["a:70000", '"a:70000" has a bad port "70000"'],
    ["::1", "write [::1]:port"],
    ["a b", 'bad host name "a b"'],
    ["http://a:1,https://a:1", "--endpoints names a:1 with http:// and with https://: write it once"],
  ])("%s", (text, message) => {
    expect(() => parseEndpoints(text)).toThrow(EndpointError);
    expect(() => parseEndpoints(text)).toThrow(message);
  });

  test("a password, without repeating it", () => {
    expect(() => parseEndpoints("http://root:secret@a:1")).toThrow(
      '--endpoints: "http://…@a:1" carries a user name: write only 10.0.1.10:2379',
    );
  });

  test.each([
    ["ftp://root:secret@a:1", '"ftp://…@a:1"'],
    ["root:secret@a:1", '"…@a:1"'],
    ["http://root:/secret@a:1", '"http://…@a:1"'],
    ["http://root:@secret@a:1", '"http://…@a:1"'],
    ["http://root:secret@a:1/@b", '"http://…@b"'],
  ])("a password in %s, without repeating it", (item, shown) => {
    const refusal = `--endpoints: ${shown} carries a user name: write only 10.0.1.10:2379`;
    expect(() => parseEndpoints(item)).toThrow(refusal);
  });

  test("under the name of another flag", () => {
    expect(() => parseEndpoints("", "--members")).toThrow("--members names no member");
  });
});
