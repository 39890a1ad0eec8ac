/** Renewals on both sides while clients connect, read and write all the time: no call is lost, and expiry is told. */
import { expect, test } from "bun:test";
import { KV } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { hoursFromNow, type IssuedCertificate } from "../../harness/certificates.ts";
import { startGrpcProxy } from "../../harness/etcdproxy-process.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { waitFor } from "../../harness/wait-for.ts";
import { curl, curlTls } from "../curl.ts";
import { bytes } from "../methods/side.ts";
import { RenewedFiles, replaceFile } from "./renewed-files.ts";
import { shownSerialNumber } from "./s-client.ts";
import { fresh, useSecureMember } from "./secure-member.ts";

const secure = useSecureMember();

const CLIENTS = 6;
const CALLS_A_CONNECTION = 10;
const RENEWALS = 8;
const EXPIRY = "etcdproxy_certificate_expiry_timestamp_seconds";

/** Clients that put and get, and make a new connection now and then. Any failure fails `stop`. */
class Callers {
  calls = 0;
  #stopped = false;
  readonly #workers: readonly Promise<void>[];

  constructor(address: string) {
    this.#workers = Array.from({ length: CLIENTS }, (_, index) => this.#work(address, `load/${index}`));
    for (const worker of this.#workers) worker.catch(() => {}); // `stop` tells.
  }

  async #work(address: string, name: string): Promise<void> {
    while (!this.#stopped) {
      using client = new GrpcClient(address, {}, secure().tls);
      for (let call = 0; call < CALLS_A_CONNECTION; call++) {
        const value = bytes(String(this.calls));
        await client.unary(KV.method.put, { key: bytes(name), value });
        const { kvs } = await client.unary(KV.method.range, { key: bytes(name) });
        expect(Buffer.from(kvs[0]!.value).equals(value)).toBe(true);
        this.calls++;
      }
    }
  }

  /** Waits until `count` more calls have succeeded than now. */
  async progress(count: number): Promise<void> {
    const { calls } = this;
    await Promise.race([
      waitFor(`${count} more calls`, () => this.calls >= calls + count, { deadlineMs: 60_000 }),
      Promise.all(this.#workers), // Fails when one of them does.
    ]);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#workers);
  }
}

test(
  "renewals on both sides lose no call",
  async () => {
    const { inner, outer, member } = secure();
    using clientSide = new RenewedFiles();
    using memberSide = new RenewedFiles();
    clientSide.write(await fresh(outer, "server"), "by rename");
    memberSide.write(await fresh(inner, "client"), "by rename");
    const trusting = (): void => {
      replaceFile(clientSide.trusted, outer.certificatePem);
      replaceFile(memberSide.trusted, inner.certificatePem);
    };
    trusting();
    await using proxy = await startGrpcProxy(
      [member.url],
      [
        ...clientSide.clientFlags,
        `--trusted-ca-file=${clientSide.trusted}`,
        `--cert=${memberSide.certificate}`,
        `--key=${memberSide.key}`,
        `--cacert=${memberSide.trusted}`,
      ],
    );
    const callers = new Callers(proxy.address);
    let last: IssuedCertificate | undefined;
    for (let renewal = 0; renewal < RENEWALS; renewal++) {
      last = await fresh(outer, "server");
      clientSide.write(last, renewal % 2 === 0 ? "by rename" : "in place");
      memberSide.write(await fresh(inner, "client"), "by rename");
      trusting();
      if (renewal % 2 === 1) proxy.kill("SIGHUP");
      const { serialNumber } = last;
      await waitFor("the renewed certificate", async () => {
        return (await shownSerialNumber(proxy.address, secure().tls)) === serialNumber;
      });
      await callers.progress(CLIENTS * CALLS_A_CONNECTION);
    }
    await callers.stop();
  },
  { timeout: 120_000 },
);

test("when each certificate expires is a gauge, which a renewal moves", async () => {
  const { inner, outer, member } = secure();
  using clientSide = new RenewedFiles();
  using memberSide = new RenewedFiles();
  const shown = await fresh(outer, "server", { notAfter: hoursFromNow(5) });
  const own = await fresh(inner, "client", { notAfter: hoursFromNow(7) });
  clientSide.write(shown, "by rename");
  memberSide.write(own, "by rename");
  await using proxy = await startGrpcProxy(
    [member.url],
    [
      ...clientSide.clientFlags,
      `--cert=${memberSide.certificate}`,
      `--key=${memberSide.key}`,
      `--cacert=${inner.file}`,
    ],
  );
  /** The gauge's value, in seconds, of the certificate in that flag. */
  const expiry = async (flag: string): Promise<number> => {
    const url = `https://${proxy.address}/proxy/metrics`;
    const { body } = await curl("negotiated", url, curlTls({ caFile: outer.file }));
    const line = new RegExp(`^${EXPIRY}\\{flag="(?:--)?${flag}"\\} (\\S+)$`, "m").exec(body);
    if (line === null) throw new Error(`no ${EXPIRY} of ${flag} in:\n${body}`);
    return Number(line[1]);
  };
  const seconds = ({ notAfter }: IssuedCertificate): number => Math.floor(notAfter.getTime() / 1000);
  expect(await expiry("cert-file")).toBe(seconds(shown));
  expect(await expiry("cert")).toBe(seconds(own));
  const renewed = await fresh(outer, "server", { notAfter: hoursFromNow(9) });
  clientSide.write(renewed, "by rename");
  await waitFor("the gauge to move", async () => (await expiry("cert-file")) === seconds(renewed));
  expect(await expiry("cert")).toBe(seconds(own));
});
