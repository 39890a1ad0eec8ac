/**
 * What the TLS tests stand on: one member that speaks TLS and asks for client certificates, and the certificates of
 * everybody around it.
 *
 * Two authorities that know nothing of each other: one between the proxy and members, one between clients and the
 * proxy. Whoever takes one for the other is found out.
 */
import { afterAll, beforeAll, setDefaultTimeout } from "bun:test";
import { copyFileSync } from "node:fs";
import {
  CertificateAuthority,
  type CertificateOptions,
  type ClientTls,
  type IssuedCertificate,
} from "../../harness/certificates.ts";
import { startEtcdCluster, type EtcdCluster } from "../../harness/etcd-cluster.ts";
import type { EtcdMember } from "../../harness/etcd-member.ts";
import { ensureBuilt, type EtcdproxyProcess, type LogEntry } from "../../harness/etcdproxy-process.ts";
import { TemporaryFolder } from "../../harness/temporary-folder.ts";

const START_MS = 120_000;
const CASE_MS = 60_000;

export class SecureMember {
  readonly folder: TemporaryFolder;
  /** Signs what members show, and what the proxy shows to them. */
  readonly inner: CertificateAuthority;
  /** Signs what the proxy shows to clients, and what they show. */
  readonly outer: CertificateAuthority;
  readonly cluster: EtcdCluster;
  /** What the member shows. */
  readonly shown: IssuedCertificate;
  /** What the proxy shows to members. */
  readonly towardsMembers: IssuedCertificate;
  /** What the proxy shows to clients. */
  readonly towardsClients: IssuedCertificate;
  /** What a client shows. */
  readonly client: IssuedCertificate;

  constructor(
    parts: Omit<SecureMember, "member" | "memberFlags" | "clientFlags" | "tls" | "memberTls" | "showing">,
  ) {
    this.folder = parts.folder;
    this.inner = parts.inner;
    this.outer = parts.outer;
    this.cluster = parts.cluster;
    this.shown = parts.shown;
    this.towardsMembers = parts.towardsMembers;
    this.towardsClients = parts.towardsClients;
    this.client = parts.client;
  }

  get member(): EtcdMember {
    return this.cluster.member(0);
  }

  /** The proxy's flags for TLS towards members, all as they should be. */
  get memberFlags(): string[] {
    return [`--cacert=${this.inner.file}`, ...shownToMembers(this.towardsMembers)];
  }

  /** The proxy's flags for TLS towards clients; it does not ask them for certificates. */
  get clientFlags(): string[] {
    return shownToClients(this.towardsClients);
  }

  /** What a client of the proxy trusts and shows. */
  get tls(): ClientTls & { readonly certificate: IssuedCertificate } {
    return { caFile: this.outer.file, certificate: this.client };
  }

  /** What a client of the member itself trusts and shows. */
  get memberTls(): ClientTls {
    return { caFile: this.inner.file, certificate: this.towardsMembers };
  }

  /** Lets the member show another certificate to whoever connects while `run` runs. */
  async showing(other: IssuedCertificate, run: () => Promise<void>): Promise<void> {
    const { certificatePem, keyPem, certificateFile, keyFile } = this.shown;
    copyFileSync(other.certificateFile, certificateFile);
    copyFileSync(other.keyFile, keyFile);
    try {
      await run();
    } finally {
      await Bun.write(certificateFile, certificatePem);
      await Bun.write(keyFile, keyPem);
    }
  }
}

export function shownToMembers({ certificateFile, keyFile }: IssuedCertificate): string[] {
  return [`--cert=${certificateFile}`, `--key=${keyFile}`];
}

export function shownToClients({ certificateFile, keyFile }: IssuedCertificate): string[] {
  return [`--cert-file=${certificateFile}`, `--key-file=${keyFile}`];
}

async function start(): Promise<SecureMember> {
  const folder = new TemporaryFolder("tls");
  const [inner, outer] = await Promise.all([
    CertificateAuthority.create(folder, "inner"),
    CertificateAuthority.create(folder, "outer"),
  ]);
  const [shown, harness, towardsMembers, towardsClients, client] = await Promise.all([
    inner.server("member"),
    inner.client("harness"),
    inner.client("towards-members"),
    outer.server("towards-clients"),
    outer.client("client"),
  ]);
  const tls = { server: shown, clients: { caFile: inner.file, own: harness } };
  const [cluster] = await Promise.all([startEtcdCluster({ members: 1, tls }), ensureBuilt()]);
  return new SecureMember({ folder, inner, outer, cluster, shown, towardsMembers, towardsClients, client });
}

/** Starts a secure member before the first test of this file, and ends it after the last. */
export function useSecureMember(): () => SecureMember {
  setDefaultTimeout(CASE_MS);
  let secure: SecureMember | null = null;
  beforeAll(async () => {
    secure = await start();
  }, START_MS);
  afterAll(async () => {
    await secure?.cluster.dispose();
    secure?.folder[Symbol.dispose]();
  });
  return () => {
    if (secure === null) throw new Error("the member is there from the first test on, not before");
    return secure;
  };
}

let issued = 0;

/** A client's or, with `names`, a server's certificate under a file name that no other has. */
export function fresh(
  authority: CertificateAuthority,
  kind: "client" | "server",
  options: CertificateOptions = {},
): Promise<IssuedCertificate> {
  issued++;
  return authority[kind](`${kind}-${issued}`, options);
}

/** The first warning or error of the log, past or future, that says all of `words` in any of its fields. */
export function complaint(
  proxy: EtcdproxyProcess,
  ...words: readonly (string | RegExp)[]
): Promise<LogEntry> {
  return proxy.loggedWhere(`a complaint about ${words.join(", ")}`, (entry) => complains(entry, words));
}

export function complains(entry: LogEntry, words: readonly (string | RegExp)[]): boolean {
  const text = JSON.stringify(entry);
  const loud = entry.level === "warn" || entry.level === "error";
  return loud && words.every((word) => (typeof word === "string" ? text.includes(word) : word.test(text)));
}
