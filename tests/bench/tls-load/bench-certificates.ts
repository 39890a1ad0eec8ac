/**
 * The certificates of the TLS measurements: one authority, one server, one client, all with P-256 keys as most are.
 */
import { CertificateAuthority, hoursFromNow, type IssuedCertificate } from "../../harness/certificates.ts";
import type { TemporaryFolder } from "../../harness/temporary-folder.ts";

/** Longer than any run of the bench. */
const VALID_HOURS = 24;

export interface BenchCertificates {
  /** PEM file of the authority that has signed both. */
  readonly caFile: string;
  readonly server: IssuedCertificate;
  readonly client: IssuedCertificate;
}

/** Makes them in `folder`. */
export async function makeBenchCertificates(folder: TemporaryFolder): Promise<BenchCertificates> {
  const lasting = { notAfter: hoursFromNow(VALID_HOURS) };
  const authority = await CertificateAuthority.create(folder, "bench-ca", lasting);
  return {
    caFile: authority.file,
    server: await authority.server("bench-server", lasting),
    client: await authority.client("bench-client", lasting),
  };
}
