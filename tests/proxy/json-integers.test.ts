/** Long integers of a JSON text, which JavaScript's numbers cannot hold. */
import { expect, test } from "bun:test";
import { quoteLongIntegers } from "../../src/proxy/json-integers.ts";

test.each([
  ["a long integer is put in quotes", '{"ID":4590190658680458771}', '{"ID":"4590190658680458771"}'],
  ["a negative one, too", '{"ID": -4590190658680458771 }', '{"ID": "-4590190658680458771" }'],
  ["several", "[1234567890123456,1234567890123457]", '["1234567890123456","1234567890123457"]'],
  ["a short one stays", '{"limit":123456789012345}', '{"limit":123456789012345}'],
  ["what is no integer stays", '{"a":1234567890123456.5,"b":1234567890123456e2}', null],
  ["one in a string stays", '{"a":"1:1234567890123456","b":"\\",1234567890123456"}', null],
  [
    "one beside such a string",
    '{"a":"\\" :1234567890123456","b":1234567890123456}',
    '{"a":"\\" :1234567890123456","b":"1234567890123456"}',
  ],
])("%s", (_what, text, quoted) => {
  expect(quoteLongIntegers(text)).toBe(quoted ?? text);
});

test("a long text with a long string and a long integer is no trouble", () => {
  const value = "A".repeat(4 * 1024 * 1024);
  const quoted = quoteLongIntegers(`{"value":"${value}","lease":4590190658680458771}`);
  expect(quoted).toBe(`{"value":"${value}","lease":"4590190658680458771"}`);
});
