import { afterEach, describe, expect, test } from "bun:test";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import type { X509Certificate } from "node:crypto";
import { ensureSelfSigned, selfSignedFiles, type SelfSignedOptions } from "../../src/tls/self-signed.ts";
import { loadKeyPair } from "../../src/tls/certificates.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";

const DAY_MS = 24 * 60 * 60 * 1000;
const folders: TemporaryFolder[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) folder[Symbol.dispose]();
});

function options(more: Partial<SelfSignedOptions> = {}): SelfSignedOptions {
  const folder = new TemporaryFolder("self-signed");
  folders.push(folder);
  return {
    folder: folder.file("fixtures/proxy"),
    validityYears: 1,
    hostnames: ["proxy.example.com"],
    ...more,
  };
}

function leafIn({ folder }: SelfSignedOptions): X509Certificate {
  const files = selfSignedFiles(folder);
  return loadKeyPair(files.certificate, files.key).leaf;
}

describe("the certificate that the proxy makes for itself", () => {
  test("is for a server, for the names asked for and for loopback, and belongs to its key", async () => {
    const chosen = options({ hostnames: ["proxy.example.com", "10.0.0.7", ""] });
    expect(await ensureSelfSigned(chosen, Date.now())).toBe("made");
    const leaf = leafIn(chosen);
    for (const name of ["proxy.example.com", "localhost"]) expect(leaf.checkHost(name)).toBe(name);
    for (const address of ["10.0.0.7", "127.0.0.1", "::1"]) expect(leaf.checkIP(address)).toBe(address);
    expect(leaf.ca).toBe(false);
    expect(leaf.verify(leaf.publicKey)).toBe(true);
  });

  test("is valid for as many years as asked, up to the last that a certificate can tell", async () => {
    const nowMs = Date.now();
    const two = options({ validityYears: 2 });
    await ensureSelfSigned(two, nowMs);
    expect(Date.parse(leafIn(two).validTo) - nowMs).toBeWithin(729 * DAY_MS, 731 * DAY_MS);
    const endless = options({ validityYears: 7000 });
    await ensureSelfSigned(endless, nowMs);
    expect(new Date(leafIn(endless).validTo).getUTCFullYear()).toBeGreaterThan(9000);
  });

  test("has a key that only its owner may read", async () => {
    const chosen = options();
    await ensureSelfSigned(chosen, Date.now());
    const { key } = selfSignedFiles(chosen.folder);
    expect(statSync(key.path).mode & 0o777).toBe(0o600);
    expect(statSync(chosen.folder).mode & 0o777).toBe(0o700);
  });

  test("is kept, and made anew when it ends within a day", async () => {
    const chosen = options();
    const nowMs = Date.now();
    await ensureSelfSigned(chosen, nowMs);
    const first = leafIn(chosen).serialNumber;
    expect(await ensureSelfSigned(chosen, nowMs + 363 * DAY_MS)).toBe("kept");
    expect(leafIn(chosen).serialNumber).toBe(first);
    expect(await ensureSelfSigned(chosen, nowMs + 365 * DAY_MS)).toBe("made");
    expect(leafIn(chosen).serialNumber).not.toBe(first);
  });

  test.each(["certificate", "key"] as const)("is made anew when its %s is broken", async (which) => {
    const chosen = options();
    await ensureSelfSigned(chosen, Date.now());
    const { path } = selfSignedFiles(chosen.folder)[which];
    writeFileSync(path, readFileSync(path, "utf8").slice(0, 80));
    expect(await ensureSelfSigned(chosen, Date.now())).toBe("made");
    leafIn(chosen);
  });

  test("that cannot be kept is told with the folder", async () => {
    const chosen = options();
    writeFileSync(chosen.folder.replace("/fixtures/proxy", "/fixtures"), "in the way");
    await expect(ensureSelfSigned(chosen, Date.now())).rejects.toThrow(
      `--data-dir ${chosen.folder}: cannot keep the generated certificate: `,
    );
  });
});
