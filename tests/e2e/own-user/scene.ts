/**
 * A real etcd with users, of one member unless a test asks for more, and grpc-proxies in front of it that have a user of their own.
 *
 * In whose name the proxy calls is told by the member's own account of the calls that it has handled: a read without
 * a token, or with one that does not do, is handled with an error.
 */
import { generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { type EtcdCluster, startEtcdCluster } from "../../harness/etcd-cluster.ts";
import { etcdVersion, isSince } from "../../harness/etcd-version.ts";
import { ensureBuilt, type EtcdproxyProcess, startGrpcProxy } from "../../harness/etcdproxy-process.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { TemporaryFolder } from "../../harness/temporary-folder.ts";
import { Accounts, PASSWORD } from "../watch/accounts.ts";
import { prefixRange } from "../watch/watch-stream.ts";

/** How a member makes tokens. */
export type TokenKind = "simple" | "jwt";

export const OWN_USER = "proxy";
/** Longer than a token lives, used or not. */
export const BEYOND_TOKEN_MS = 4_000;
const PROBE_MS = 5_000;

export interface Health {
  readonly status: number;
  readonly body: string;
}

/** Health, and how many reads the member was asked for it: in the name of the proxy's user, and otherwise. */
export interface AskedHealth extends Health {
  readonly inName: number;
  readonly otherwise: number;
}

export const HEALTHY: Health = { status: 200, body: '{"health":"true","reason":""}' };

export class OwnUserScene implements AsyncDisposable {
  readonly cluster: EtcdCluster;
  readonly accounts: Accounts;
  readonly direct: GrpcClient;
  readonly #folder: TemporaryFolder;
  readonly #stack: AsyncDisposableStack;
  #files = 0;

  constructor(cluster: EtcdCluster, folder: TemporaryFolder, stack: AsyncDisposableStack) {
    this.cluster = cluster;
    this.#folder = folder;
    this.#stack = stack;
    this.direct = stack.use(new GrpcClient(cluster.member(0).endpoint));
    this.accounts = new Accounts(this.direct);
  }

  /** Adds root, `reader` who may read p/, and the proxy's user who may read `readable`; authentication stays off. */
  async addUsers(readable: string): Promise<void> {
    const { accounts } = this;
    await accounts.addRoot();
    await accounts.addRole("p", [prefixRange("p/")]);
    await accounts.addRole("own", [prefixRange(readable), { key: "health" }]);
    for (const [name, role] of [
      ["reader", "p"],
      [OWN_USER, "own"],
    ] as const) {
      await accounts.addUser(name);
      await accounts.grantRole(name, role);
    }
  }

  /** A file with a password, to be rewritten by `writePassword`. */
  passwordFile(password = PASSWORD): string {
    const file = this.#folder.file(`password ${++this.#files}`);
    this.writePassword(file, password);
    return file;
  }

  writePassword(file: string, password: string): void {
    writeFileSync(file, `${password}\n`, { mode: 0o600 });
  }

  /** A proxy in the name of its own user; gone with the scene. */
  async proxy(passwordFile = this.passwordFile()): Promise<EtcdproxyProcess> {
    const flags = [`--user=${OWN_USER}`, `--password-file=${passwordFile}`];
    return this.#stack.use(await startGrpcProxy(this.cluster.endpoints, flags));
  }

  /** How many calls of a method the member has handled: with `code` (`OK`), or with any other one. */
  handled(method: string, code: "OK" | "not OK"): Promise<number> {
    const ok = (labels: string): boolean => labels.includes('grpc_code="OK"');
    return this.#sumOf("grpc_server_handled_total", (labels) => ok(labels) === (code === "OK"), method);
  }

  /** How many Watch calls the member has been asked for. */
  begun(): Promise<number> {
    return this.#sumOf("grpc_server_started_total", () => true, "Watch");
  }

  /** `/health` of a proxy, while nobody else reads. */
  async health({ address }: EtcdproxyProcess): Promise<AskedHealth> {
    const counts = (): Promise<number[]> =>
      Promise.all([this.handled("Range", "OK"), this.handled("Range", "not OK")]);
    const before = await counts();
    const answer = await fetch(`http://${address}/health`, { keepalive: false });
    const body = await answer.text();
    const after = await counts();
    return { status: answer.status, body, inName: after[0]! - before[0]!, otherwise: after[1]! - before[1]! };
  }

  async #sumOf(metric: string, wanted: (labels: string) => boolean, method: string): Promise<number> {
    const url = `http://${this.cluster.member(0).endpoint}/metrics`;
    const answer = await fetch(url, { signal: AbortSignal.timeout(PROBE_MS), keepalive: false });
    const lines = new RegExp(`^${metric}\\{(.*grpc_method="${method}".*)\\} (\\S+)$`, "gm");
    let sum = 0;
    for (const [, labels = "", count] of (await answer.text()).matchAll(lines)) {
      if (wanted(labels)) sum += Number(count);
    }
    return sum;
  }

  async restartMember(): Promise<void> {
    const member = this.cluster.member(0);
    await member.kill();
    member.restart();
    await member.waitHealthy();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}

/** Whether the etcd that the tests meet lets simple tokens end soon. */
export const SHORT_SIMPLE_TOKENS = isSince(etcdVersion(), [3, 5, 0]);

export interface SceneOptions {
  /** The prefix that the proxy's own user may read. */
  readonly readable?: string;
  /** Tokens live for some seconds, not for minutes, where etcd lets that be chosen. */
  readonly shortTokens?: boolean;
  readonly members?: 1 | 3;
}

/** A cluster with its users. */
export async function ownUserScene(
  kind: TokenKind,
  { readable = "p/", shortTokens = true, members = 1 }: SceneOptions = {},
): Promise<OwnUserScene> {
  await ensureBuilt();
  const stack = new AsyncDisposableStack();
  const folder = stack.use(new TemporaryFolder("own"));
  const simpleFlags = SHORT_SIMPLE_TOKENS && shortTokens ? ["--auth-token-ttl=2"] : [];
  const flags = kind === "jwt" ? jwtFlags(folder, shortTokens ? "3s" : "10m") : simpleFlags;
  const cluster = stack.use(await startEtcdCluster({ members, flags }));
  const scene = new OwnUserScene(cluster, folder, stack);
  await scene.addUsers(readable);
  return scene;
}

function jwtFlags(folder: TemporaryFolder, ttl: string): string[] {
  const { publicKey, privateKey } = generateKeyPairSync("rsa", {
    modulusLength: 2048,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs1", format: "pem" },
  });
  const [publicFile, privateFile] = [folder.file("jwt.pub"), folder.file("jwt.key")];
  writeFileSync(publicFile, publicKey);
  writeFileSync(privateFile, privateKey, { mode: 0o600 });
  return [`--auth-token=jwt,pub-key=${publicFile},priv-key=${privateFile},sign-method=RS256,ttl=${ttl}`];
}
