/**
 * What a documented transcript and a real run may differ in: each such thing has a form that is stated here, and counts as
 * the same on both sides; everything else has to be equal.
 *
 * Documents show the ports, the host name and the folder that a reader would have; a run has those that were free.
 */
import { hostname } from "node:os";

/** The host name that documents show. */
const DOCUMENTED_HOST = "proxy-host";

/** What is chosen anew by etcd, by the kernel or by the clock, and what stands for it. */
const VARYING: readonly (readonly [form: RegExp, stands: string])[] = [
  [/"ts":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"/g, '"ts":"(time)"'],
  [/^\[\d\d:\d\d:\d\d\.\d{3}\]/g, "[(time)]"],
  [/"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"/g, '"time":"(time)"'],
  [/"(clusterId|memberId|raftTerm|cluster_id|member_id|raft_term)":"\d+"/g, '"$1":"(number)"'],
  [/"(latencySeconds|secondsLeft)":\d+(\.\d+)?(e-\d+)?/g, '"$1":(number)'],
  [/"(peer|client)":"127\.0\.0\.1:\d+"/g, '"$1":"127.0.0.1:(port)"'],
  [/"pid":\d+/g, '"pid":(number)'],
  [/"lease":"[0-9a-f]+"/g, '"lease":"(lease)"'],
  [/"(grpc\.time_ms)":\d+(\.\d+)?/g, '"$1":(number)'],
  // Of answers, whose header holds numbers of any length.
  [/"bytes":\d+(?=,"grpc\.response\.content")/g, '"bytes":(number)'],
  [/^(Git SHA: )[0-9a-f]{7,40}(-dirty)?$/g, "$1(commit)"],
  [/^(etcdproxy_\w+_timestamp_seconds\{[^}]*\}) [\d.e+]+$/g, "$1 (time)"],
  [/^(process_start_time_seconds) [\d.e+]+$/g, "$1 (time)"],
  [/\b[0-9a-f]{16}\b/g, "(lease)"],
];

export class TranscriptText {
  /** The real port for each documented one. */
  readonly #ports: ReadonlyMap<number, number>;
  readonly #documentedPorts: ReadonlyMap<number, number>;

  constructor(ports: ReadonlyMap<number, number>) {
    this.#ports = ports;
    this.#documentedPorts = new Map([...ports].map(([documented, real]) => [real, documented]));
  }

  /** A documented command or file as it is run. */
  real(text: string): string {
    return mapPorts(text, this.#ports);
  }

  /** A line that was printed, as documents show it. */
  documented(line: string): string {
    return mapPorts(line, this.#documentedPorts).replace(
      new RegExp(`(?<=^|[^\\w.-])${RegExp.escape(hostname())}(?=$|[^\\w.-])`, "g"),
      DOCUMENTED_HOST,
    );
  }

  /**
   * Whether a line is one that a reader would not see: the remark that the proxy was moved, of one that is only here
   * where its port is another than the documented one.
   */
  isOfMovedPort(line: string): boolean {
    const [, listening, told] =
      /\blisten-addr is (\S+), but clients .* are told (\S+): /.exec(this.documented(line)) ?? [];
    return listening !== undefined && listening === told;
  }

  /** A line of either side, with all that may differ put the same. */
  comparable(line: string): string {
    const text = VARYING.reduce(
      (each, [form, stands]) => each.replaceAll(form, stands),
      this.documented(line),
    );
    // The widths of columns depend on the host's name, and on ports.
    const isTable = /^[|+].*[|+]$/.test(text);
    if (isTable) return text.replaceAll(/ +/g, " ").replaceAll(/-+/g, "-");
    return text.trimEnd().replace(/ +(?=# )/, " ");
  }
}

function mapPorts(text: string, ports: ReadonlyMap<number, number>): string {
  return text.replaceAll(/(?<=:)\d{4,5}\b/g, (port) => String(ports.get(Number(port)) ?? port));
}
