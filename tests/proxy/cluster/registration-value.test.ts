/** What registrations look like as bytes: ours as Go writes them, and those of others as they come. */
import { describe, expect, test } from "bun:test";
import {
  readRegistration,
  registrationKey,
  registrationValue,
} from "../../../src/proxy/cluster/registration-value.ts";

const read = (value: string): unknown => readRegistration(new TextEncoder().encode(value));

describe("a registration of ours", () => {
  test("is the address behind the prefix and a slash, whatever the prefix ends with", () => {
    expect(registrationKey("___grpc_proxy_endpoint", "127.0.0.1:23790")).toBe(
      "___grpc_proxy_endpoint/127.0.0.1:23790",
    );
    expect(registrationKey("proxies/", "http://proxy.example:23790")).toBe(
      "proxies//http://proxy.example:23790",
    );
  });

  test("has the value that Go's endpoints manager writes", () => {
    expect(registrationValue({ name: "vm", clientUrl: "127.0.0.1:23790" })).toBe(
      String.raw`{"Op":0,"Addr":"127.0.0.1:23790","Metadata":"{\"name\":\"vm\"}"}`,
    );
  });

  test("has what Go escapes escaped as Go does, once in the address and twice in the name", () => {
    const sign = "\u2028";
    const letter = "é";
    expect(registrationValue({ name: `<${sign}"`, clientUrl: `http://a?b=1&c=2${sign}${letter}` })).toBe(
      String.raw`{"Op":0,"Addr":"http://a?b=1\u0026c=2\u2028${letter}","Metadata":"{\"name\":\"\\u003c\\u2028\\\"\"}"}`,
    );
  });

  test("is read as it was written", () => {
    const proxy = { name: `<"&\u2029>é`, clientUrl: "https://a/b?c&d" };
    expect(read(registrationValue(proxy))).toEqual(proxy);
  });
});

describe("a registration of others", () => {
  const clientUrl = "10.0.0.1:23790";

  test.each([
    [String.raw`{"Op":0,"Addr":"${clientUrl}","Metadata":"{\"name\":\"a\"}"}`, "a"],
    [`{"Addr":"${clientUrl}","Metadata":{"name":"a","zone":1}}`, "a"],
    [`{ "Metadata": "{}", "Op": 1, "Addr": "${clientUrl}", "Other": [] }`, clientUrl],
    [`{"Op":"Add","Addr":"${clientUrl}","Metadata":null}`, clientUrl],
    [`{"Addr":"${clientUrl}","Metadata":"no JSON"}`, clientUrl],
    [`{"Addr":"${clientUrl}","Metadata":{"name":7}}`, clientUrl],
    [`{"Addr":"${clientUrl}"}`, clientUrl],
  ])("%s is taken", (value, name) => {
    expect(read(value)).toEqual({ name, clientUrl });
  });

  test.each(["", "127.0.0.1:23790", "null", "[]", "{}", '{"Addr":""}', '{"Addr":7}', '{"Addr":"a"'])(
    "%j is none",
    (value) => {
      expect(read(value)).toBeNull();
    },
  );

  test("is none where its bytes are no text, and text that no message can hold is made fit", () => {
    expect(readRegistration(Uint8Array.of(0xff, 0xfe))).toBeNull();
    expect(read(String.raw`{"Addr":"a\ud800","Metadata":{"name":"\ud800"}}`)).toEqual({
      name: "\ufffd",
      clientUrl: "a\ufffd",
    });
  });
});
