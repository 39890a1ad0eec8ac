/**
 * A reader who types the commands of a document, one after another: a folder of his own, an etcd cluster, the
 * compiled etcdproxy on his PATH.
 *
 * A command that ends in `&` is a job: its first lines are those that are documented, unless they go to a file (`2> proxy.log &`);
 * `kill %1` sends it a signal, and what it says then is what that command printed. Commands that go on for ever (`etcdctl watch`) are ended when they have printed as
 * many lines as are documented. Questions about a state that comes about by itself are asked until the documented answer
 * comes, for ten seconds. All others are run once by a shell.
 *
 * Invariant: whatever it started has ended when it is disposed of.
 */
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TranscriptStep } from "../readme-file.ts";
import { CertificateAuthority } from "./certificates.ts";
import { type PipedChild, runCommand, spawnPiped } from "./child-process.ts";
import { type EtcdCluster, startEtcdCluster } from "./etcd-cluster.ts";
import type { EtcdTls } from "./etcd-member.ts";
import { type DnsServer, startDnsServerAt } from "../net/dns-server.ts";
import { etcdBinary } from "./etcd-version.ts";
import { ensureBuilt, executable } from "./etcdproxy-process.ts";
import { freePorts } from "./free-ports.ts";
import { LineLog } from "./line-log.ts";
import { TemporaryFolder } from "./temporary-folder.ts";
import { TranscriptText } from "./transcript-text.ts";
import { waitFor } from "./wait-for.ts";

/** Ports that documents give to members, in their order. */
const MEMBER_PORTS = [2379, 22379, 32379] as const;
/** Ports that documents give to all else, ascending: so are the real ones, so that sorted lists are alike. */
const OTHER_PORTS = [2380, 2381, 2382, 4443, 5353, 12379, 23790, 23791, 23792] as const;

/** How long an answer that comes about by itself is waited for. */
const SETTLE_MS = 10_000;

/** The first build on a machine gets and compiles etcd's client library: a minute, and several where others are at work. */
export const GO_BUILD_MAX_MS = 300_000;
const goExample = join(import.meta.dir, "..", "..", "scripts", "go-example");

/** Lines that say that a job serves. */
const READY = /("msg":"|\] )(started gRPC proxy|ready to proxy client requests)/;

/** Lines that come only when a client that has just gone is not quite gone yet: no document shows them. */
const DRAINING = /"msg":"(draining|draining: clients may finish|drained: no client is left)"/;

export interface TranscriptWorld {
  /** A name server at 5353, whose SRV records of example.com name the members as infra0.example.com and so on. */
  readonly dns?: boolean;
  /** Members of the cluster at 2379 and the two ports behind it. 1 by default. */
  readonly members?: 1 | 3;
  /** Members speak TLS and ask for certificates; the files of the documents lie in the folder. */
  readonly tls?: boolean;
}

/** A command in the background. */
interface Job {
  readonly process: PipedChild;
  /** Where it writes what is documented. */
  readonly output: LineLog;
}

export class TranscriptRun implements AsyncDisposable {
  readonly text: TranscriptText;
  readonly #folder: TemporaryFolder;
  readonly #cluster: EtcdCluster;
  readonly #settleMs: number;
  #nameServer: DnsServer | undefined;
  readonly #jobs: Job[] = [];
  readonly #environment: Record<string, string | undefined>;

  private constructor(folder: TemporaryFolder, cluster: EtcdCluster, settleMs: number) {
    this.#settleMs = settleMs;
    this.#folder = folder;
    this.#cluster = cluster;
    const members = cluster.members.map(({ endpoint }) => Number(endpoint.split(":")[1]));
    const others = [...MEMBER_PORTS.slice(members.length), ...OTHER_PORTS].toSorted((a, b) => a - b);
    const real = freePorts(others.length).toSorted((a, b) => a - b);
    this.text = new TranscriptText(
      new Map([
        ...members.map((port, index) => [MEMBER_PORTS[index]!, port] as const),
        ...others.map((port, index) => [port, real[index]!] as const),
      ]),
    );
    this.#environment = { PATH: `${join(folder.path, "bin")}:${process.env["PATH"] ?? ""}` };
  }

  /** @param settleMs how long a state that comes about by itself is waited for */
  static async start(world: TranscriptWorld = {}, settleMs = SETTLE_MS): Promise<TranscriptRun> {
    await ensureBuilt();
    const folder = new TemporaryFolder("transcript");
    for (const name of ["bin", "dist"]) {
      mkdirSync(folder.file(name));
      symlinkSync(executable, folder.file(`${name}/etcdproxy`));
    }
    symlinkSync(etcdBinary("etcdctl"), folder.file("bin/etcdctl"));
    const tls = world.tls === true ? await documentedCertificates(folder) : undefined;
    const cluster = await startEtcdCluster({
      members: world.members ?? 1,
      ...(tls === undefined ? {} : { tls }),
    });
    const run = new TranscriptRun(folder, cluster, settleMs);
    if (world.dns === true) await run.#startNameServer();
    return run;
  }

  async #startNameServer(): Promise<void> {
    const ports = this.#cluster.members.map(({ endpoint }) => endpoint.split(":")[1]);
    const address = this.text.real("127.0.0.1:5353");
    this.#nameServer = await startDnsServerAt(
      Number(address.split(":")[1]),
      "--local=/example.com/",
      ...ports.flatMap((port, index) => [
        `--srv-host=_etcd-client._tcp.example.com,infra${index}.example.com,${port},${index},0`,
        `--host-record=infra${index}.example.com,127.0.0.1`,
      ]),
    );
  }

  /** Writes a file that a document shows. */
  writeFile(name: string, lines: readonly string[]): void {
    writeFileSync(this.#folder.file(name), `${this.text.real(lines.join("\n"))}\n`, { mode: 0o600 });
  }

  /**
   * Types one command; gives what it printed, as it is documented or else as it came.
   *
   * @param linesWanted of a job or an endless command
   */
  async run({ command, printed }: TranscriptStep, linesWanted = printed.length): Promise<string[]> {
    const real = this.text.real(command.replace(/\s+#.*$/, ""));
    const assigned = /^(\w+)=\$\((.*)\)$/.exec(real);
    if (assigned !== null) {
      this.#environment[assigned[1]!] = (await this.#shell(assigned[2]!)).join("\n");
      return [];
    }
    const go = /^go run (\S+\.go)(.*)$/.exec(real);
    if (go !== null) return this.#shell((await builtGo(this.#folder.file(go[1]!))) + go[2]);
    if (real.endsWith(" &")) return this.#startJob(real.slice(0, -2), linesWanted);
    const signal = /^kill (?:-(\w+) )?%(\d+)$/.exec(real);
    if (signal !== null) return this.#signal(Number(signal[2]), `SIG${signal[1] ?? "TERM"}`, linesWanted);
    if (/^etcdctl [^|]*\b(watch|elect|lock|lease keep-alive)\b/.test(real)) {
      return this.#firstLines(real, linesWanted);
    }
    const wanted = printed.map((line) => this.text.comparable(line)).join("\n");
    const giveUpAt = performance.now() + (asksOnly(real) ? this.#settleMs : 0);
    for (;;) {
      const lines = await this.#shell(real);
      const same = lines.map((line) => this.text.comparable(line)).join("\n") === wanted;
      if (same || performance.now() >= giveUpAt) return lines;
      await Bun.sleep(50);
    }
  }

  async #shell(command: string): Promise<string[]> {
    const { stdout } = await runCommand(["sh", "-c", `{ ${command}\n} 2>&1`], this.#options);
    const lines = stdout === "" ? [] : stdout.trimEnd().split("\n");
    return lines.filter((line) => !this.text.isOfMovedPort(line));
  }

  get #options(): { cwd: string; env: Record<string, string | undefined> } {
    return { cwd: this.#folder.path, env: this.#environment };
  }

  async #startJob(command: string, linesWanted: number): Promise<string[]> {
    const own = /\betcdproxy (gateway|grpc-proxy)\b/.test(command);
    const listens = /--listen-addr|--config-file|ETCDPROXY_LISTEN_ADDR/.test(command);
    const placed =
      own && !listens ? `${command} ${this.text.real("--listen-addr=127.0.0.1:23790")}` : command;
    const started = spawnPiped(["sh", "-c", `exec env ${placed}`], this.#options);
    const output = new LineLog(command, own ? started.stderr : started.stdout);
    this.#jobs.push({ process: started, output });
    const logFile = / 2> ?(\S+)$/.exec(command)?.[1];
    if (logFile !== undefined) {
      const log = Bun.file(this.#folder.file(logFile));
      await waitFor(`${command} to tell ${logFile} that it serves`, async () => READY.test(await log.text()));
    } else if (own) await output.find("its ready line", (line) => (READY.test(line) ? line : undefined));
    return this.#nextLines(output, linesWanted);
  }

  async #signal(number: number, signal: string, linesWanted: number): Promise<string[]> {
    const job = this.#jobs[number - 1];
    if (job === undefined) throw new Error(`there is no job %${number}`);
    const saidBefore = job.output.lines.length;
    job.process.kill(signal as NodeJS.Signals);
    const said = (): string[] => job.output.lines.slice(saidBefore).filter((line) => !DRAINING.test(line));
    const enough = job.output.find("what it says of the signal", () =>
      said().length >= linesWanted ? true : undefined,
    );
    const ended = signal === "SIGTERM" || signal === "SIGINT" ? job.output.ended : enough;
    await Promise.allSettled([enough, ended]);
    return said().slice(0, linesWanted);
  }

  async #firstLines(command: string, linesWanted: number): Promise<string[]> {
    const started = spawnPiped(["sh", "-c", `exec ${command}`], this.#options);
    try {
      return await this.#nextLines(new LineLog(command, started.stdout), linesWanted);
    } finally {
      started.kill("SIGKILL");
      await started.exited;
    }
  }

  async #nextLines(output: LineLog, count: number): Promise<string[]> {
    const lines: string[] = [];
    while (lines.length < count) {
      const line = await output.next();
      if (!this.text.isOfMovedPort(line)) lines.push(line);
    }
    return lines;
  }

  /** Ends all jobs, as closing the terminal does. */
  async endJobs(): Promise<void> {
    for (const { process: job } of this.#jobs) job.kill("SIGKILL");
    await Promise.all(this.#jobs.map(({ process: job }) => job.exited));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.endJobs();
    await this.#nameServer?.stop();
    await this.#cluster.dispose();
    this.#folder[Symbol.dispose]();
  }
}

/** The program that a Go file is. @throws Error where it cannot be built */
async function builtGo(file: string): Promise<string> {
  const { code, stdout, stderr } = await runCommand([goExample, file], { deadlineMs: GO_BUILD_MAX_MS });
  if (code !== 0) throw new Error(`scripts/go-example: ${stderr}`);
  return stdout.trim();
}

/** Whether a command changes nothing, so that it can be asked again. */
function asksOnly(command: string): boolean {
  if (/^curl\b/.test(command)) return !/\s(-d|--data\S*|-X)\s/.test(command);
  if (/^grep\b/.test(command)) return true;
  return /^etcdctl .*\b(get|member list|endpoint \w+|lease list)\b/.test(command);
}

/** The files that the documents about TLS name, and what members are started with. */
async function documentedCertificates(folder: TemporaryFolder): Promise<EtcdTls> {
  const authority = await CertificateAuthority.create(folder, "ca");
  const clientsAuthority = await CertificateAuthority.create(folder, "proxy-ca");
  const server = await authority.server("member");
  const own = await authority.client("client");
  await clientsAuthority.server("proxy-server");
  const revoked = await clientsAuthority.client("revoked-client");
  await clientsAuthority.client("proxy-client");
  await clientsAuthority.revocationList("proxy-clients", [revoked]);
  // A certificate with a CommonName, which members would take for a user.
  await authority.client("root-client", { commonName: "root" });
  return { server, clients: { caFile: authority.file, own } };
}
