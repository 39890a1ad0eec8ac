import { describe, expect, test } from "bun:test";
import { suggestName } from "../../src/cli/suggestion.ts";

const known = ["endpoints", "listen-addr", "cert", "cert-file", "key", "debug", "max-send-bytes"];

describe("a suggestion for an unknown name", () => {
  test.each([
    ["endpoint", "endpoints"],
    ["enpdoints", "endpoints"],
    ["listen_addr", "listen-addr"],
    ["Debug", "debug"],
    ["certs", "cert"],
    ["listen", "listen-addr"],
    ["max-send", "max-send-bytes"],
  ])("%s is taken for %s", (word, name) => {
    expect(suggestName(word, known)).toBe(name);
  });

  test.each(["", "k", "zzz", "verbose", "endpoints-of-the-cluster"])("%j is like none", (word) => {
    expect(suggestName(word, known)).toBeUndefined();
  });
});
