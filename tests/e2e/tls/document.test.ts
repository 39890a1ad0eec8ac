/** The examples of the document that describes etcd's grpc-proxy, as they are written there. */
import { expect, test } from "bun:test";
import { etcdctl, etcdctlTls } from "../../harness/etcdctl.ts";
import { startProxy } from "../../harness/etcdproxy-process.ts";
import { TemporaryFolder } from "../../harness/temporary-folder.ts";
import { curl, curlTls } from "../curl.ts";
import { complains, useSecureMember } from "./secure-member.ts";

const secure = useSecureMember();

test("TLS termination: plain clients use a cluster that asks for certificates", async () => {
  const { cluster, inner, memberTls, towardsMembers } = secure();
  using folder = new TemporaryFolder("document");
  const quick = ["--dial-timeout=2s", "--command-timeout=2s"];
  expect((await etcdctl([`http://${cluster.endpoints[0]}`], [...quick, "endpoint", "status"])).code).not.toBe(
    0,
  );
  expect((await etcdctl(cluster.urls, [...etcdctlTls(memberTls), "endpoint", "status"])).code).toBe(0);

  await Bun.write(folder.file("client.crt"), towardsMembers.certificatePem);
  await Bun.write(folder.file("client.key"), towardsMembers.keyPem);
  await Bun.write(folder.file("ca.crt"), inner.certificatePem);
  const line =
    `grpc-proxy start --endpoints=${cluster.urls[0]} --listen-addr localhost:0 ` +
    "--cert client.crt --key client.key --cacert=ca.crt --insecure-skip-tls-verify";
  await using proxy = await startProxy(line.split(" "), { cwd: folder.path });
  const url = [`http://${proxy.address}`];
  expect(await etcdctl(url, ["put", "abc", "def"])).toMatchObject({ code: 0, stdout: "OK\n" });
  expect((await etcdctl(cluster.urls, [...etcdctlTls(memberTls), "get", "abc"])).stdout).toBe("abc\ndef\n");
  const warnings = proxy.log.filter((entry) => complains(entry, ["insecure-skip-tls-verify"]));
  expect(warnings).toHaveLength(1);
  expect(warnings[0]!.level).toBe("warn");
});

test("metrics: the example works with all its flags, and curl needs none for the version", async () => {
  const { member, inner, outer, towardsMembers, towardsClients } = secure();
  using folder = new TemporaryFolder("document");
  const files = {
    "client.key": towardsMembers.keyPem,
    "client.crt": towardsMembers.certificatePem,
    "proxy-server.key": towardsClients.keyPem,
    "proxy-server.crt": towardsClients.certificatePem,
    "ca.pem": inner.certificatePem,
    "proxy-ca.pem": outer.certificatePem,
  };
  for (const [name, text] of Object.entries(files)) await Bun.write(folder.file(name), text);
  const line =
    `grpc-proxy start --endpoints ${member.url.replace("127.0.0.1", "localhost")} ` +
    "--metrics-addr https://127.0.0.1:0 --listen-addr 127.0.0.1:0 " +
    "--key client.key --key-file proxy-server.key --cert client.crt --cert-file proxy-server.crt " +
    "--cacert ca.pem --trusted-ca-file proxy-ca.pem";
  await using proxy = await startProxy(line.split(" "), { cwd: folder.path });

  const pages = String((await proxy.logged("listening for metrics"))["address"]);
  for (const url of [pages, `https://${proxy.address}`]) {
    for (const version of ["negotiated", "HTTP/1.1"] as const) {
      const answer = await curl(version, `${url}/metrics`, curlTls(secure().tls));
      expect(answer.status).toBe(200);
      expect(answer.body).toContain("etcd_server_has_leader 1");
      expect(answer.httpVersion).toBe(version === "negotiated" ? "2" : "1.1");
    }
  }
});
