/** The file that holds the password of the proxy's own user. */
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  isReadableByOthers,
  PasswordFileError,
  readPassword,
} from "../../../src/proxy/auth/password-file.ts";
import { TemporaryFolder } from "../../harness/temporary-folder.ts";

let folder: TemporaryFolder;
let file: string;

beforeEach(() => {
  folder = new TemporaryFolder("password");
  file = folder.file("password");
});
afterEach(() => folder[Symbol.dispose]());

/** What is wrong with the file, in words. */
function problem(path: string): string {
  try {
    return `no problem: ${readPassword(path)}`;
  } catch (error) {
    if (error instanceof PasswordFileError) return error.message;
    throw error;
  }
}

describe("the password", () => {
  test.each([
    ["secret", "secret"],
    ["secret\n", "secret"],
    ["secret\r\n", "secret"],
    ["secret\nsecond line\n", "secret"],
    [" with spaces \n", " with spaces "],
    ["pässwörd\n", "pässwörd"],
  ])("in %j is %j", (content, password) => {
    writeFileSync(file, content);
    expect(readPassword(file)).toBe(password);
  });

  test("may be behind a link, which may come to name another file", () => {
    for (const [name, password] of [
      ["first", "one"],
      ["second", "two"],
    ] as const) {
      writeFileSync(folder.file(name), password);
      symlinkSync(folder.file(name), folder.file(`link to ${name}`));
      expect(readPassword(folder.file(`link to ${name}`))).toBe(password);
    }
  });
});

describe("a file", () => {
  test.each(["", "\n", "\r\n", "\nsecret\n"])("that has %j is called empty", (content) => {
    writeFileSync(file, content);
    expect(problem(file)).toBe("is empty: write the password into its first line");
  });

  test("that is not there is told so", () => {
    expect(problem(file)).toBe("cannot be used: there is no such file");
  });

  test("that is a folder or a device is refused", () => {
    mkdirSync(file);
    expect(problem(file)).toBe("cannot be used: this is a folder, not a file");
    expect(problem("/dev/zero")).toBe(
      "cannot be used: this is no regular file, which could be read again later",
    );
  });

  test("that is large is refused unread", () => {
    writeFileSync(file, "x".repeat(100_000));
    expect(problem(file)).toBe("cannot be used: larger than 65536 bytes");
  });

  test("that is no text is refused", () => {
    writeFileSync(file, Uint8Array.of(0x73, 0xff, 0xfe));
    expect(problem(file)).toBe("is not UTF-8 text, which etcd's passwords are");
  });

  test.each([
    [0o600, false],
    [0o640, false],
    [0o604, true],
    [0o644, true],
  ])("of mode %o: others may read it is %p", async (mode, readable) => {
    writeFileSync(file, "secret");
    chmodSync(file, mode);
    expect(await isReadableByOthers(file)).toBe(readable);
  });

  test("that is not there is not called readable", async () => {
    expect(await isReadableByOthers(file)).toBe(false);
  });
});
