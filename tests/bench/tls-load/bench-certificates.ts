/**
 * The certificates of the TLS measurements: one authority, one server, one client, all with P-256 keys as most are,
 * and the list of certificates that the authority has taken back.
 */
import { CertificateAuthority, hoursFromNow, type IssuedCertificate } from "../../harness/certificates.ts";
import type { TemporaryFolder } from "../../harness/temporary-folder.ts";

/** Longer than any run of the bench. */
const VALID_HOURS = 24;
const REVOKED = 20;

export interface BenchCertificates {
  /** PEM file of the authority that has signed both. */
  readonly caFile: string;
  readonly server: IssuedCertificate;
  readonly client: IssuedCertificate;
  /** PEM file of the list; none of the above is in it. */
  readonly revocationFile: string;
}

/** Makes them in `folder`. */
export async function makeBenchCertificates(folder: TemporaryFolder): Promise<BenchCertificates> {
  const lasting = { notAfter: hoursFromNow(VALID_HOURS) };
  const authority = await CertificateAuthority.create(folder, "bench-ca", lasting);
  const revoked = await Promise.all(
    Array.from({ length: REVOKED }, (_, index) => authority.client(`bench-revoked-${index}`)),
  );
  return {
    caFile: authority.file,
    server: await authority.server("bench-server", lasting),
    client: await authority.client("bench-client", lasting),
    revocationFile: await authority.revocationList("bench-revoked", revoked, {
      nextUpdate: lasting.notAfter,
    }),
  };
}
