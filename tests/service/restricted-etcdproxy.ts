/**
 * The executable under what a unit of deploy/systemd asks for, as far as it can be had without systemd: another user without any
 * capability, nothing to write to but a /tmp of its own, a /proc without the processes of others, and the unit's own filter of system
 * calls and address families, which the kernel applies.
 *
 * Not to be had so: PrivateUsers, PrivateDevices, the Protect… of the kernel's settings, DynamicUser's own user id.
 */
import { runCommand, spawnPiped, type PipedChild } from "../harness/child-process.ts";
import { executable } from "../harness/etcdproxy-process.ts";
import { LineLog } from "../harness/line-log.ts";

const NOBODY = "65534";
const PROGRAM = "/mnt/etcdproxy";

/** `$1` is the executable; it is found where a tmpfs hides neither it nor the way to it. */
const ENTER = `
  mount -t tmpfs tmpfs /mnt && touch ${PROGRAM} && mount --bind "$1" ${PROGRAM} && chmod 755 /mnt &&
  mount -o remount,ro /mnt && mount --bind / / && mount -o remount,bind,ro / && mount -t tmpfs tmpfs /tmp &&
  mount -t proc -o hidepid=invisible proc /proc && cd / && shift && exec "$@"`;

/** Loads the filter that systemd's words ask for, and becomes the command. */
const FILTER = `
import errno, json, os, seccomp, socket, subprocess, sys
def names(word):
    if not word.startswith("@"): return {word}
    text = subprocess.run(["systemd-analyze", "syscall-filter", word], capture_output=True, text=True, check=True).stdout
    words = [line.strip() for line in text.splitlines()[1:]]
    return set().union(*(names(each) for each in words if each and not each.startswith("#")))
wanted = json.loads(sys.argv[1])
allowed = set()
for word in wanted["calls"]: allowed |= names(word)
for word in wanted["refused"]: allowed -= names(word)
rules = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
for call in sorted(allowed - {"socket"}):
    try: rules.add_rule(seccomp.ALLOW, call)
    except (RuntimeError, ValueError): pass  # Another architecture's.
for family in wanted["families"]: rules.add_rule(seccomp.ALLOW, "socket", seccomp.Arg(0, seccomp.EQ, getattr(socket, family)))
rules.load()
os.execv(sys.argv[2], sys.argv[2:])
`;

export interface Restrictions {
  /** Groups and names of system calls. */
  readonly calls: readonly string[];
  /** Those of them that are refused all the same. */
  readonly refused: readonly string[];
  readonly families: readonly string[];
}

function command(restrictions: Restrictions, words: readonly string[]): string[] {
  const user = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups", "--inh-caps=-all"];
  const powers = ["--bounding-set=-all", "--no-new-privs"];
  const filtered = ["/usr/bin/python3", "-c", FILTER, JSON.stringify(restrictions), PROGRAM, ...words];
  const own = ["unshare", "--mount", "--propagation=private", "sh", "-c", ENTER, "sh", executable];
  return [...own, "setpriv", ...user, ...powers, "--", ...filtered];
}

/** Why this machine cannot do it; undefined when it can. */
export async function restrictionImpossible(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return "needs root";
  const all = { calls: ["@system-service"], refused: [], families: ["AF_INET"] };
  const { code, stderr } = await runCommand(command(all, ["version"]));
  return code === 0 ? undefined : `this machine refuses it: ${stderr.trim().split("\n").at(-1)}`;
}

export class RestrictedEtcdproxy implements AsyncDisposable {
  readonly stderr: LineLog;
  readonly #process: PipedChild;

  constructor(restrictions: Restrictions, words: readonly string[], env: Readonly<Record<string, string>>) {
    this.#process = spawnPiped(command(restrictions, words), { env });
    this.stderr = new LineLog("etcdproxy under restrictions", this.#process.stderr);
  }

  get pid(): number {
    return this.#process.pid;
  }

  kill(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  get exited(): Promise<number> {
    return this.#process.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.exited;
  }
}
