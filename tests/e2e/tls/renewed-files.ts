/** The files that a proxy was started with, which a test changes while it runs. */
import { writeFileSync, renameSync } from "node:fs";
import type { IssuedCertificate } from "../../harness/certificates.ts";
import { TemporaryFolder } from "../../harness/temporary-folder.ts";

export type WayOfWriting = "in place" | "by rename";

export class RenewedFiles extends TemporaryFolder {
  readonly certificate = this.file("proxy.crt");
  readonly key = this.file("proxy.key");
  readonly trusted = this.file("trusted.crt");
  readonly list = this.file("clients.crl");

  constructor() {
    super("renewal");
  }

  /** Writes certificate and key; between the two they do not fit each other. */
  write({ certificatePem, keyPem }: IssuedCertificate, way: WayOfWriting): void {
    const write = way === "by rename" ? replaceFile : writeFileSync;
    write(this.key, keyPem);
    write(this.certificate, certificatePem);
  }

  /** Flags that serve clients with these. */
  get clientFlags(): string[] {
    return [`--cert-file=${this.certificate}`, `--key-file=${this.key}`];
  }
}

/** Puts `text` in the place of the file at `path` at once, as careful tools do. */
export function replaceFile(path: string, text: string): void {
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
}
