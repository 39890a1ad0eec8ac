// A TCP address that answers no SYN: a listening socket whose accept queue is full, as a member behind a dead link is.
//
// Made with the system's own calls, because Bun accepts every connection at once.
import { dlopen, ptr } from "bun:ffi";

const system = dlopen("libc.so.6", {
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
  listen: { args: ["i32", "i32"], returns: "i32" },
  getsockname: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  accept: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  close: { args: ["i32"], returns: "i32" },
}).symbols;

const AF_INET = 2;
const SOCK_STREAM_CLOEXEC = 1 | 0o2000000;

export interface BlackHole {
  readonly port: number;
  /** Takes the one connection that fills the queue, so that the next SYN is answered. */
  answerOne(): void;
  close(): void;
}

export async function openBlackHole(): Promise<BlackHole> {
  const listening = system.socket(AF_INET, SOCK_STREAM_CLOEXEC, 0);
  const address = new Uint8Array(16);
  new DataView(address.buffer).setUint16(0, AF_INET, true);
  address.set([127, 0, 0, 1], 4);
  const length = new Uint32Array([address.length]);
  const failed =
    listening < 0 ||
    system.bind(listening, ptr(address), address.length) !== 0 ||
    system.listen(listening, 0) !== 0 ||
    system.getsockname(listening, ptr(address), ptr(length)) !== 0;
  if (failed) throw new Error("the black hole cannot listen");
  const port = new DataView(address.buffer).getUint16(2);
  // With a backlog of 0 one connection fills the queue; every further SYN is dropped.
  const filler = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } });
  const accepted: number[] = [];
  return {
    port,
    answerOne() {
      accepted.push(system.accept(listening, null, null));
    },
    close() {
      filler.terminate();
      for (const descriptor of [...accepted, listening]) system.close(descriptor);
    },
  };
}
