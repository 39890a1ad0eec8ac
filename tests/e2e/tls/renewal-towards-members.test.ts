/** What members see, and which of them are trusted, changes while the proxy runs: its files are read anew. */
import { rmSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "bun:test";
import { KV } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import type { IssuedCertificate } from "../../harness/certificates.ts";
import { type EtcdproxyProcess, startGrpcProxy } from "../../harness/etcdproxy-process.ts";
import { GrpcClient, statusOf } from "../../harness/grpc-client.ts";
import { waitFor } from "../../harness/wait-for.ts";
import { bytes } from "../methods/side.ts";
import { WatchStream } from "../watch/watch-stream.ts";
import { RenewedFiles, replaceFile } from "./renewed-files.ts";
import { complaint, fresh, useSecureMember } from "./secure-member.ts";

const secure = useSecureMember();

describe("what members see", () => {
  /** Starts a proxy in front of the member with these certificate, key and authority. */
  async function startTowards(
    files: RenewedFiles,
    shown: IssuedCertificate,
    trusted: string,
  ): Promise<EtcdproxyProcess> {
    files.write(shown, "in place");
    writeFileSync(files.trusted, trusted);
    const flags = [`--cert=${files.certificate}`, `--key=${files.key}`, `--cacert=${files.trusted}`];
    return startGrpcProxy([secure().member.url], flags);
  }

  /** Waits until calls succeed. Each failure before must be UNAVAILABLE. */
  async function recovers(client: GrpcClient): Promise<void> {
    await waitFor("calls to succeed", async () => {
      await client.unary(KV.method.range, { key: bytes("key") });
      return true;
    });
  }

  test("a refused certificate is replaced by a good one, without a restart", async () => {
    using files = new RenewedFiles();
    const { inner, outer } = secure();
    await using proxy = await startTowards(files, await fresh(outer, "client"), inner.certificatePem);
    using client = new GrpcClient(proxy.address);
    expect((await statusOf(client.unary(KV.method.range, { key: bytes("key") }))).code).toBe(14);
    files.write(await fresh(inner, "client"), "by rename");
    await recovers(client);
  });

  test("a wrong authority is replaced by the right one, without a restart", async () => {
    using files = new RenewedFiles();
    const { inner, outer } = secure();
    await using proxy = await startTowards(files, await fresh(inner, "client"), outer.certificatePem);
    using client = new GrpcClient(proxy.address);
    expect((await statusOf(client.unary(KV.method.range, { key: bytes("key") }))).code).toBe(14);
    replaceFile(files.trusted, inner.certificatePem);
    proxy.kill("SIGHUP");
    await recovers(client);
  });

  test("a new certificate is used for new connections, and those that are open live on", async () => {
    using files = new RenewedFiles();
    const { inner, outer, member } = secure();
    await using proxy = await startTowards(files, await fresh(inner, "client"), inner.certificatePem);
    using client = new GrpcClient(proxy.address);
    using watch = new WatchStream(client);
    const { watchId } = await watch.open({ key: "renewal/members" });

    files.write(await fresh(outer, "client"), "by rename");
    proxy.kill("SIGHUP");
    await proxy.loggedWhere("that something was read anew", (entry) =>
      JSON.stringify(entry).includes(files.certificate),
    );
    await client.unary(KV.method.put, { key: bytes("renewal/members"), value: bytes("one") });
    await watch.events(watchId, 1);

    await member.kill();
    member.restart();
    await member.waitHealthy();
    await complaint(proxy, member.endpoint, /certificate/i);
    files.write(await fresh(inner, "client"), "by rename");
    await recovers(client);
    await client.unary(KV.method.put, { key: bytes("renewal/members"), value: bytes("two") });
    await watch.events(watchId, 2);
  });

  test("one with a CommonName is refused then too, and the one before stays", async () => {
    using files = new RenewedFiles();
    const { inner, member } = secure();
    await using proxy = await startTowards(files, await fresh(inner, "client"), inner.certificatePem);
    using client = new GrpcClient(proxy.address);
    await client.unary(KV.method.range, { key: bytes("key") });
    files.write(await fresh(inner, "client", { commonName: "root" }), "by rename");
    const entry = await complaint(proxy, "cert", files.certificate, /CommonName/);
    expect(entry.level).toBe("error");
    await member.kill();
    member.restart();
    await member.waitHealthy();
    await recovers(client);
  });

  test("broken files are reported, and those before stay", async () => {
    using files = new RenewedFiles();
    const { inner, member } = secure();
    await using proxy = await startTowards(files, await fresh(inner, "client"), inner.certificatePem);
    using client = new GrpcClient(proxy.address);
    await client.unary(KV.method.range, { key: bytes("key") });
    replaceFile(files.trusted, "");
    await complaint(proxy, "cacert", files.trusted);
    rmSync(files.certificate);
    await complaint(proxy, "cert", files.certificate);
    await member.kill();
    member.restart();
    await member.waitHealthy();
    await recovers(client);
  });
});
