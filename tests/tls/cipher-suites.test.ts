import { describe, expect, test } from "bun:test";
import { cipherList, CipherSuiteError, tlsVersion } from "../../src/tls/cipher-suites.ts";

describe("cipher suites by their IANA names", () => {
  test("become the library's, in their order, each once", () => {
    expect(
      cipherList([
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
      ]),
    ).toBe("ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256");
  });

  test("Go's two names without a digest are those with one", () => {
    expect(
      cipherList(["TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"]),
    ).toBe("ECDHE-RSA-CHACHA20-POLY1305");
  });

  test("those of TLS 1.3 have no effect", () => {
    expect(cipherList(["TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"])).toBeNull();
    expect(cipherList(["TLS_AES_128_GCM_SHA256", "TLS_RSA_WITH_AES_128_CBC_SHA"])).toBe("AES128-SHA");
  });

  test.each([
    "TLS_RSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
  ])("%s is known and refused: the library has it not", (suite) => {
    expect(() => cipherList([suite])).toThrow(CipherSuiteError);
    expect(() => cipherList([suite])).toThrow(`${suite} is too weak or too old`);
  });

  test.each(["", "tls_aes_128_gcm_sha256", "ECDHE-RSA-AES128-GCM-SHA256", "toString", "HIGH:!aNULL"])(
    "%j is none",
    (suite) => {
      expect(() => cipherList([suite])).toThrow(`${suite} is no cipher suite that is known here`);
    },
  );
});

test("versions go by the flag's names only", () => {
  expect(["TLS1.2", "TLS1.3"].map(tlsVersion)).toEqual(["TLSv1.2", "TLSv1.3"]);
  expect(["TLS1.1", "tls1.2", "TLSv1.3", "", "constructor"].map(tlsVersion)).toEqual(
    Array(5).fill(undefined),
  );
});
