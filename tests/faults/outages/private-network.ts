/**
 * A network of our own, in which packets can get lost: the proxy lives in one network namespace, its clients and members
 * in another, and between the two there is a cable for the clients and one for each member, which can be pulled.
 *
 *     here ──── 10.213.0.1 ═══ 10.213.0.2 ────┐
 *     here ──── 10.213.1.1 ═══ 10.213.1.2 ────┤ the proxy
 *     here ──── 10.213.2.1 ═══ 10.213.2.2 ────┘
 *
 * What is sent over a pulled cable is gone, and nobody is told: no reset, no answer to a SYN. It needs a program that was
 * started by `inPrivateNetwork`, whose namespaces end with its processes; nothing of it is seen from outside.
 */
import { runCommand } from "../../harness/child-process.ts";

const VARIABLE = "ETCDPROXY_TEST_PRIVATE_NETWORK";
const UNSHARE = ["unshare", "--user", "--map-root-user", "--net", "--mount"];
const PROXY = "proxy";
/** In the namespace of the proxy no other process takes it. */
const PROXY_PORT = 23_790;

/** The command that runs `command` in namespaces of its own, and what it must find in its environment. */
export function inPrivateNetwork(command: readonly string[]): {
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
} {
  return { command: [...UNSHARE, "--", ...command], env: { [VARIABLE]: "1" } };
}

/** Whether this process was started so. */
export function isInPrivateNetwork(): boolean {
  return process.env[VARIABLE] === "1";
}

/** Why this machine does not let us have such a network; undefined when it does. */
export async function whyNoPrivateNetwork(): Promise<string | undefined> {
  for (const program of ["unshare", "nsenter", "ip", "mount"]) {
    if (Bun.which(program) === null) return `there is no ${program}`;
  }
  const { code, stderr } = await runCommand([...UNSHARE, "--", "mount", "-t", "tmpfs", "tmpfs", "/run"]);
  return code === 0 ? undefined : `namespaces are refused: ${stderr.trim()}`;
}

export class PrivateNetwork {
  /** Where the proxy listens, as clients here reach it. */
  readonly proxyAddress = `${theirs(0)}:${PROXY_PORT}`;

  private constructor() {}

  /** Lays the cables for `members` members. */
  static async create(members: number): Promise<PrivateNetwork> {
    await run("mount", "-t", "tmpfs", "tmpfs", "/run");
    await ip("link set lo up");
    await ip(`netns add ${PROXY}`);
    await ip(`-n ${PROXY} link set lo up`);
    for (let cable = 0; cable <= members; cable++) {
      const name = nameOf(cable);
      const hardware = `02:00:00:00:00:0${cable}`;
      await ip(`link add ${name} address ${hardware} type veth peer name ${name} netns ${PROXY}`);
      await ip(`address add ${ours(cable)}/30 dev ${name}`);
      await ip(`-n ${PROXY} address add ${theirs(cable)}/30 dev ${name}`);
      await ip(`link set ${name} up`);
      await ip(`-n ${PROXY} link set ${name} up`);
      // Who cannot find out that a neighbour is gone is not told that it is unreachable.
      const neighbour = `${ours(cable)} lladdr ${hardware} dev ${name} nud permanent`;
      await ip(`-n ${PROXY} neighbour replace ${neighbour}`);
    }
    return new PrivateNetwork();
  }

  /** The address, here, at which the proxy finds the member at `index`. */
  hostOf(index: number): string {
    return ours(index + 1);
  }

  /** The command that runs `command` where the proxy lives. */
  asProxy(command: readonly string[]): string[] {
    return ["nsenter", `--net=/run/netns/${PROXY}`, "--", ...command];
  }

  /** From now on nothing gets through between the proxy and the member at `index`. */
  pull(index: number): Promise<void> {
    return ip(`link set ${nameOf(index + 1)} down`);
  }

  plugIn(index: number): Promise<void> {
    return ip(`link set ${nameOf(index + 1)} up`);
  }
}

function nameOf(cable: number): string {
  return `cable${cable}`;
}

function ours(cable: number): string {
  return `10.213.${cable}.1`;
}

function theirs(cable: number): string {
  return `10.213.${cable}.2`;
}

function ip(words: string): Promise<void> {
  return run("ip", ...words.split(" "));
}

async function run(...command: readonly string[]): Promise<void> {
  const { code, stderr } = await runCommand(command);
  if (code !== 0) throw new Error(`${command.join(" ")}: ${stderr.trim()}`);
}
