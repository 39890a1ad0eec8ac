import { expect, test } from "bun:test";
import { CommandLineError, quoted, usageError } from "../../src/cli/command-line-error.ts";

test("an error's text of several lines becomes one line", () => {
  expect(new CommandLineError("first \r\n\n  second\n").line).toBe("first second ");
});

test("what a terminal would obey is written out", () => {
  expect(usageError('--endpoints: "\u001b[2J\t\u007f\u009b\u2028" is bad').line).toBe(
    String.raw`etcdproxy: --endpoints: "\u001b[2J\u0009\u007f\u009b\u2028" is bad`,
  );
});

test("a quoted word has each of its control characters written out once", () => {
  expect(usageError(quoted("a\u001bb\nc\u0085")).line).toBe(String.raw`etcdproxy: "a\u001bb\nc\u0085"`);
});

test("letters of any script stay as they are", () => {
  expect(usageError("ключ 鍵 🔑").line).toBe("etcdproxy: ключ 鍵 🔑");
});
