/**
 * Everything that runs beside the benchmark: etcd, the TCP peer, and the contenders in front of them.
 *
 * Invariant: what was started here is gone once the stage is disposed of, in whatever state the benchmark is.
 */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { type EtcdCluster, startEtcdCluster } from "../harness/etcd-cluster.ts";
import { etcdBinary } from "../harness/etcd-version.ts";
import { startGateway, startGrpcProxy } from "../harness/etcdproxy-process.ts";
import { freePorts } from "../harness/free-ports.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";
import type { Contender, ContenderName } from "./measurement.ts";
import { type ProxyProcess, startOwnProgram, startProgram } from "./proxy-process.ts";
import type { BenchCertificates } from "./tls-load/bench-certificates.ts";

/** One member, so that the figures are those of one etcd process. The quota is not to be met by the puts. */
const ETCD_FLAGS = ["--quota-backend-bytes=8589934592"];

/** nginx counts both sides of a pair. */
const NGINX_CONNECTIONS = 65_536;

/** A process that serves on an address. */
export interface Program extends AsyncDisposable {
  readonly address: string;
  readonly pid: number;
}

/** HAProxy's path; null when it is not installed. */
export function haproxyBinary(): string | null {
  return systemBinary("haproxy");
}

/** Where Debian puts nginx's module for TCP. */
const NGINX_STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so";

/** nginx's path; null when it or its module for TCP is not installed. */
export function nginxBinary(): string | null {
  return existsSync(NGINX_STREAM_MODULE) ? systemBinary("nginx") : null;
}

/** Debian puts servers where a user's PATH may not look. */
function systemBinary(name: string): string | null {
  return Bun.which(name) ?? Bun.which(name, { PATH: "/usr/sbin:/sbin:/usr/local/sbin" });
}

export class Stage implements AsyncDisposable {
  readonly folder: TemporaryFolder;
  readonly #started: AsyncDisposableStack;
  readonly #etcd: EtcdCluster;
  /** What proxies need to reach etcd. */
  readonly #memberFlags: readonly string[];
  #logs = 0;

  private constructor(
    started: AsyncDisposableStack,
    folder: TemporaryFolder,
    etcd: EtcdCluster,
    memberFlags: readonly string[],
  ) {
    this.#started = started;
    this.folder = folder;
    this.#etcd = etcd;
    this.#memberFlags = memberFlags;
  }

  /** Starts etcd. @param secured with what etcd serves TLS; plain text without. */
  static async start(secured?: BenchCertificates): Promise<Stage> {
    await using started = new AsyncDisposableStack();
    const folder = started.use(new TemporaryFolder("bench"));
    const tls = secured === undefined ? {} : { tls: { server: secured.server } };
    const etcd = started.use(await startEtcdCluster({ members: 1, flags: ETCD_FLAGS, ...tls }));
    return new Stage(started.move(), folder, etcd, secured === undefined ? [] : flagsTowards(secured));
  }

  get etcdAddress(): string {
    return this.#etcd.member(0).endpoint;
  }

  /** What proxies are told: an endpoint without a scheme means plain text. */
  get #etcdUrl(): string {
    const { endpoint, url } = this.#etcd.member(0);
    return url.startsWith("https:") ? url : endpoint;
  }

  get etcdPid(): number {
    return this.#etcd.member(0).pid;
  }

  get direct(): Contender {
    return { name: "direct", address: this.etcdAddress };
  }

  /** Keeps a program until the stage ends, and makes it a contender. */
  async contender(name: ContenderName, starting: Promise<Program>): Promise<Contender> {
    const { address, pid } = this.#started.use(await starting);
    return { name, address, pid };
  }

  /** @param flags further ones, which mean the same to etcd's proxy and to ours. */
  etcdGrpcProxy(flags: readonly string[] = []): Promise<Program> {
    const dataFolder = `--data-dir=${this.folder.file("proxy")}`;
    return this.#etcdProxy("grpc-proxy", this.#etcdUrl, [dataFolder, ...this.#memberFlags, ...flags]);
  }

  etcdGateway(target: string): Promise<Program> {
    return this.#etcdProxy("gateway", target, []);
  }

  ourGrpcProxy(flags: readonly string[] = []): Promise<Program> {
    return startGrpcProxy([this.#etcdUrl], [...this.#memberFlags, ...flags]);
  }

  ourGateway(target: string, flags: readonly string[] = []): Promise<Program> {
    return startGateway([target], flags);
  }

  /** HAProxy as a TCP proxy, with its defaults. Undefined when it is not installed. */
  haproxy(target: string): Promise<Program> | undefined {
    const binary = haproxyBinary();
    if (binary === null) return undefined;
    const address = freeAddress();
    const file = this.folder.file(`haproxy-${++this.#logs}.cfg`);
    const configuration = [
      "defaults",
      "  mode tcp",
      "  timeout connect 5s",
      "  timeout client 10m",
      "  timeout server 10m",
      "frontend clients",
      `  bind ${address}`,
      "  default_backend target",
      "backend target",
      `  server target ${target}`,
    ];
    writeFileSync(file, `${configuration.join("\n")}\n`);
    return startProgram([binary, "-db", "-f", file], address, this.#logFile());
  }

  /** nginx as a TCP proxy: one process, as is its default, with room for many connections. Undefined when not installed. */
  nginx(target: string): Promise<Program> | undefined {
    const binary = nginxBinary();
    if (binary === null) return undefined;
    const address = freeAddress();
    const folder = this.folder.file(`nginx-${++this.#logs}`);
    mkdirSync(folder);
    const file = `${folder}/nginx.conf`;
    const configuration = [
      `load_module ${NGINX_STREAM_MODULE};`,
      // Without a master there is one process to measure.
      "daemon off;",
      "master_process off;",
      `pid ${folder}/nginx.pid;`,
      `error_log ${folder}/error.log;`,
      `events { worker_connections ${NGINX_CONNECTIONS}; }`,
      `stream { server { listen ${address}; proxy_pass ${target}; } }`,
    ];
    writeFileSync(file, `${configuration.join("\n")}\n`);
    const command = [binary, "-p", folder, "-c", file, "-e", `${folder}/error.log`];
    return startProgram(command, address, this.#logFile());
  }

  forwardFloor(path: string): Promise<Program> {
    return startOwnProgram("floors/forward.ts", [this.etcdAddress, path]);
  }

  cachedFloor(answer: Uint8Array): Promise<Program> {
    return startOwnProgram("floors/cached.ts", [Buffer.from(answer).toString("hex")]);
  }

  tlsFloor(certificates: BenchCertificates, clientsShow: boolean): Promise<Program> {
    const { certificateFile, keyFile } = certificates.server;
    const authority = clientsShow ? [certificates.caFile] : [];
    return startOwnProgram("floors/tls-accept.ts", [certificateFile, keyFile, ...authority]);
  }

  pipeFloor(target: string): Promise<Program> {
    return startOwnProgram("floors/pipe.ts", [target]);
  }

  /** The program behind the TCP measurements. */
  async tcpPeer(): Promise<Program> {
    return this.#started.use(await startOwnProgram("programs/tcp-peer.ts"));
  }

  #etcdProxy(product: string, target: string, flags: readonly string[]): Promise<ProxyProcess> {
    const address = freeAddress();
    const command = [
      etcdBinary("etcd"),
      product,
      "start",
      `--endpoints=${target}`,
      `--listen-addr=${address}`,
    ];
    return startProgram([...command, ...flags], address, this.#logFile());
  }

  #logFile(): string {
    return this.folder.file(`program-${++this.#logs}.log`);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#started.disposeAsync();
  }
}

/** etcd's proxy takes an authority only along with a certificate, asked for or not. */
function flagsTowards({ caFile, client }: BenchCertificates): string[] {
  return [`--cacert=${caFile}`, `--cert=${client.certificateFile}`, `--key=${client.keyFile}`];
}

function freeAddress(): string {
  return `127.0.0.1:${freePorts(1)[0]}`;
}
