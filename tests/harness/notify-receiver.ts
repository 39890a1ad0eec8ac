/**
 * The service manager's end of `NOTIFY_SOCKET`: a datagram socket, and what comes to it, from whom and when.
 *
 * Written in Python, so that nothing of what is tested receives its own words. It is a stand-in for systemd, which runs in no test.
 */
import { spawnPiped, type PipedChild } from "./child-process.ts";
import { LineLog } from "./line-log.ts";
import { waitFor } from "./wait-for.ts";

/** Prints a line of JSON for each datagram; the kernel tells who has sent it. */
const PROGRAM = `
import json, socket, struct, sys, time
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
name = sys.argv[1]
receiver.bind("\\0" + name[1:] if name.startswith("@") else name)
print("bound", flush=True)
while True:
    data, ancillary, _, _ = receiver.recvmsg(65536, 1024)
    pid = struct.unpack("iII", ancillary[0][2])[0]
    print(json.dumps({"text": data.decode(), "pid": pid, "micros": time.monotonic_ns() // 1000}), flush=True)
`;

/** A datagram. */
export interface Notice {
  /** What it assigns: READY → 1. */
  readonly assigned: Readonly<Record<string, string>>;
  /** The sender's process. */
  readonly pid: number;
  /** The monotonic clock of the system at its arrival, in microseconds. */
  readonly micros: number;
}

export class NotifyReceiver implements AsyncDisposable {
  /** What `NOTIFY_SOCKET` is to be. */
  readonly name: string;
  readonly #process: PipedChild;
  readonly #lines: LineLog;

  private constructor(name: string) {
    this.name = name;
    this.#process = spawnPiped(["python3", "-c", PROGRAM, name]);
    this.#lines = new LineLog("the receiver of notices", this.#process.stdout);
  }

  /** @param name a path, or `@` and a name */
  static async bind(name: string): Promise<NotifyReceiver> {
    const receiver = new NotifyReceiver(name);
    await receiver.#lines.find("the socket to be bound", (line) => line === "bound" || undefined);
    return receiver;
  }

  /** All that have come, in their order. */
  get notices(): Notice[] {
    return this.#lines.lines.slice(1).map((line) => {
      const { text, ...rest } = JSON.parse(line) as { text: string; pid: number; micros: number };
      const pairs = text.split("\n").map((pair) => /^([A-Z_]+)=(.*)$/.exec(pair)?.slice(1) ?? [pair, ""]);
      return { assigned: Object.fromEntries(pairs), ...rest };
    });
  }

  /** The states that were told, without signs of life: "STATUS", "READY", "RELOADING", "READY", "STOPPING". */
  get states(): string[] {
    return this.notices
      .map(({ assigned }) => Object.keys(assigned)[0] ?? "")
      .filter((state) => state !== "WATCHDOG");
  }

  /** The `count`th notice that assigns `variable`, once it has come. */
  nth(variable: string, count = 1): Promise<Notice> {
    return waitFor(`${variable}, ${count} times`, () => {
      const found = this.notices.filter(({ assigned }) => variable in assigned);
      return found[count - 1];
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.exited;
  }
}
