/** What clients see, and who of them may connect, changes while the proxy runs: its files are read anew. */
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "bun:test";
import { KV } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { CertificateAuthority, type IssuedCertificate } from "../../harness/certificates.ts";
import { type EtcdproxyProcess, startGrpcProxy } from "../../harness/etcdproxy-process.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { waitFor } from "../../harness/wait-for.ts";
import { curl, curlTls } from "../curl.ts";
import { bytes } from "../methods/side.ts";
import { WatchStream } from "../watch/watch-stream.ts";
import { RenewedFiles, replaceFile } from "./renewed-files.ts";
import { handshake, shownSerialNumber } from "./s-client.ts";
import { complaint, fresh, useSecureMember } from "./secure-member.ts";

const secure = useSecureMember();

/** Starts a proxy that serves clients with `files`. */
function start(files: RenewedFiles, flags: readonly string[] = []): Promise<EtcdproxyProcess> {
  const { member, memberFlags } = secure();
  return startGrpcProxy([member.url], [...memberFlags, ...files.clientFlags, ...flags]);
}

let first: IssuedCertificate;
let second: IssuedCertificate;
beforeEach(async () => {
  first = await fresh(secure().outer, "server");
  second = await fresh(secure().outer, "server");
});

/** Waits until new connections are shown `certificate`. */
async function shows(proxy: EtcdproxyProcess, { serialNumber }: IssuedCertificate): Promise<void> {
  await waitFor("the renewed certificate", async () => {
    return (await shownSerialNumber(proxy.address)) === serialNumber;
  });
}

describe("the certificate that clients see", () => {
  test.each(["in place", "by rename"] as const)("is read anew when it is written %s", async (way) => {
    using files = new RenewedFiles();
    files.write(first, way);
    await using proxy = await start(files);
    expect(await shownSerialNumber(proxy.address)).toBe(first.serialNumber);
    files.write(second, way);
    await shows(proxy, second);
    files.write(first, way);
    await shows(proxy, first);
  });

  test("is read anew when the symlink that leads to it is swapped, as Kubernetes does", async () => {
    using files = new RenewedFiles();
    const put = (name: string, { certificatePem, keyPem }: IssuedCertificate): void => {
      mkdirSync(files.file(name));
      writeFileSync(join(files.file(name), "tls.crt"), certificatePem);
      writeFileSync(join(files.file(name), "tls.key"), keyPem);
    };
    put("..1", first);
    symlinkSync("..1", files.file("..data"));
    symlinkSync(join("..data", "tls.crt"), files.certificate);
    symlinkSync(join("..data", "tls.key"), files.key);
    await using proxy = await start(files);
    expect(await shownSerialNumber(proxy.address)).toBe(first.serialNumber);
    put("..2", second);
    symlinkSync("..2", files.file("..data_new"));
    renameSync(files.file("..data_new"), files.file("..data"));
    rmSync(files.file("..1"), { recursive: true });
    await shows(proxy, second);
    expect(proxy.log.filter((entry) => entry.level === "error")).toEqual([]);
  });

  test("is read anew on SIGHUP, and the proxy lives on", async () => {
    using files = new RenewedFiles();
    files.write(first, "in place");
    await using proxy = await start(files);
    proxy.kill("SIGHUP");
    await proxy.loggedWhere("that files are read though none has changed", (entry) => {
      return entry.msg === "read TLS files anew" && JSON.stringify(entry).includes(files.certificate);
    });
    files.write(second, "in place");
    proxy.kill("SIGHUP");
    await shows(proxy, second);
    expect(proxy.running).toBe(true);
  });

  test("may change its authority and its kind of key", async () => {
    using files = new RenewedFiles();
    files.write(first, "in place");
    await using proxy = await start(files);
    const authority = await CertificateAuthority.create(files, "another");
    const other = await authority.server("another-server", { keyType: "rsa" });
    files.write(other, "by rename");
    await shows(proxy, other);
    const url = `https://${proxy.address}/health`;
    expect((await curl("negotiated", url, curlTls({ caFile: authority.file }))).status).toBe(200);
    await expect(curl("negotiated", url, curlTls({ caFile: secure().outer.file }))).rejects.toThrow("curl");
  });

  test("that is broken is reported, and the one before stays", async () => {
    using files = new RenewedFiles();
    files.write(first, "in place");
    await using proxy = await start(files);
    replaceFile(files.certificate, "broken\n");
    const entry = await complaint(proxy, "cert-file", files.certificate);
    expect(entry.level).toBe("error");
    expect(await shownSerialNumber(proxy.address)).toBe(first.serialNumber);
    replaceFile(files.certificate, first.certificatePem);
    rmSync(files.key);
    await complaint(proxy, "key-file", files.key);
    proxy.kill("SIGHUP");
    expect(await shownSerialNumber(proxy.address)).toBe(first.serialNumber);
    files.write(second, "by rename");
    await shows(proxy, second);
  });

  test("whose key is another's is reported, and the pair before stays until both fit", async () => {
    using files = new RenewedFiles();
    files.write(first, "in place");
    await using proxy = await start(files);
    replaceFile(files.certificate, second.certificatePem);
    await complaint(proxy, "key-file", files.key);
    expect(await shownSerialNumber(proxy.address)).toBe(first.serialNumber);
    replaceFile(files.key, second.keyPem);
    await shows(proxy, second);
  });

  test("does not end what is open: a watch and a connection go on", async () => {
    using files = new RenewedFiles();
    files.write(first, "in place");
    await using proxy = await start(files);
    using client = new GrpcClient(proxy.address, {}, { caFile: secure().outer.file });
    using watch = new WatchStream(client);
    const { watchId } = await watch.open({ key: "renewal/watch" });
    files.write(second, "by rename");
    await shows(proxy, second);
    await client.unary(KV.method.put, { key: bytes("renewal/watch"), value: bytes("after") });
    await watch.events(watchId, 1);
    expect(watch.ended).toBe(false);
  });
});

describe("who may connect", () => {
  test("changes with the authority's file", async () => {
    using files = new RenewedFiles();
    files.write(first, "in place");
    writeFileSync(files.trusted, secure().outer.certificatePem);
    await using proxy = await start(files, [`--trusted-ca-file=${files.trusted}`]);
    const stranger = await fresh(secure().inner, "client");
    const answer = async (certificate: IssuedCertificate): Promise<string> => {
      const tls = { caFile: secure().outer.file, certificate };
      return (await handshake(proxy.address, { tls, request: true })).answer;
    };
    expect(await answer(secure().client)).toStartWith("HTTP/1.1 200");
    expect(await answer(stranger)).toBe("");
    using open = new GrpcClient(proxy.address, {}, secure().tls);
    await open.unary(KV.method.range, { key: bytes("key") });

    replaceFile(files.trusted, secure().inner.certificatePem);
    await waitFor("the stranger to be known", async () =>
      (await answer(stranger)).startsWith("HTTP/1.1 200"),
    );
    expect(await answer(secure().client)).toBe("");
    await open.unary(KV.method.range, { key: bytes("key") });

    replaceFile(files.trusted, "broken\n");
    const entry = await complaint(proxy, "trusted-ca-file", files.trusted);
    expect(entry.level).toBe("error");
    expect(await answer(stranger)).toStartWith("HTTP/1.1 200");
    expect(await answer(secure().client)).toBe("");
  });

  test("changes with the revocation list", async () => {
    using files = new RenewedFiles();
    files.write(first, "in place");
    const { outer, client } = secure();
    const copyList = async (revoked: readonly IssuedCertificate[]): Promise<void> => {
      replaceFile(files.list, await Bun.file(await outer.revocationList("copied", revoked)).text());
    };
    await copyList([]);
    const flags = [`--trusted-ca-file=${outer.file}`, `--client-crl-file=${files.list}`];
    await using proxy = await start(files, flags);
    const leaving = await fresh(outer, "client");
    const answer = async (certificate: IssuedCertificate): Promise<string> => {
      const tls = { caFile: outer.file, certificate };
      return (await handshake(proxy.address, { tls, request: true })).answer;
    };
    expect(await answer(leaving)).toStartWith("HTTP/1.1 200");
    await copyList([leaving]);
    await waitFor("the client to be refused", async () => (await answer(leaving)) === "");
    expect(await answer(client)).toStartWith("HTTP/1.1 200");

    replaceFile(files.list, "broken\n");
    await complaint(proxy, "client-crl-file", files.list);
    expect(await answer(leaving)).toBe("");
    expect(await answer(client)).toStartWith("HTTP/1.1 200");

    await copyList([]);
    await waitFor("the client to be back", async () => (await answer(leaving)).startsWith("HTTP/1.1 200"));
  });

  test("a revoked client cannot come back with the session of before", async () => {
    using files = new RenewedFiles();
    files.write(first, "in place");
    const { outer } = secure();
    const leaving = await fresh(outer, "client");
    const copyList = async (revoked: readonly IssuedCertificate[]): Promise<void> => {
      replaceFile(files.list, await Bun.file(await outer.revocationList("session", revoked)).text());
    };
    await copyList([]);
    const flags = [`--trusted-ca-file=${outer.file}`, `--client-crl-file=${files.list}`];
    await using proxy = await start(files, flags);
    const tls = { caFile: outer.file, certificate: leaving };
    for (const version of ["-tls1_2", "-tls1_3"]) {
      const session = files.file(`session${version}`);
      const keep = [version, "-sess_out", session];
      const { answer } = await handshake(proxy.address, { tls, flags: keep, request: true });
      expect(answer).toStartWith("HTTP/1.1 200");
    }
    await copyList([leaving]);
    await waitFor("the client to be refused", async () => {
      return (await handshake(proxy.address, { tls, request: true })).answer === "";
    });
    for (const version of ["-tls1_2", "-tls1_3"]) {
      const session = files.file(`session${version}`);
      expect(await Bun.file(session).exists()).toBe(true);
      const again = [version, "-sess_in", session];
      expect((await handshake(proxy.address, { tls, flags: again, request: true })).answer).toBe("");
    }
  });
});
