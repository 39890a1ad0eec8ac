/**
 * The floor of the gateway: two sockets joined, with backpressure and half-close, and nothing else.
 * A yardstick, not a base to build on.
 *
 * Run as `bun pipe.ts <target's host:port>`; prints the address where it serves.
 */

type Socket = Bun.Socket<End>;

/** One end of a pipe; what the other end has read and this one has not taken yet waits in `rest`. */
interface End {
  other: Socket | null;
  rest: Uint8Array | null;
  ending: boolean;
}

const [host = "", port = ""] = (process.argv[2] ?? "").split(":");

/** Passes on what `from` has read. `from` is paused while `to` has a rest, so there is at most one. */
function pass(from: Socket, chunk: Uint8Array): void {
  const to = from.data.other;
  if (to === null) return;
  const written = to.write(chunk);
  if (written < 0 || written === chunk.length) return;
  to.data.rest = chunk.subarray(written);
  from.pause();
}

function drain(to: Socket): void {
  const { rest, other } = to.data;
  if (rest === null) return;
  const written = to.write(rest);
  if (written >= 0 && written < rest.length) {
    to.data.rest = rest.subarray(written);
    return;
  }
  to.data.rest = null;
  other?.resume();
  if (to.data.ending) to.shutdown();
}

function endOther(from: Socket): void {
  const to = from.data.other;
  if (to === null) return;
  if (to.data.rest === null) to.shutdown();
  else to.data.ending = true;
}

function closeOther(from: Socket): void {
  const to = from.data.other;
  from.data.other = null;
  if (to === null) return;
  to.data.other = null;
  to.end();
}

const socket = {
  data: pass,
  drain,
  end: endOther,
  close: closeOther,
  error: closeOther,
};

const listener = Bun.listen<End>({
  hostname: "127.0.0.1",
  port: 0,
  allowHalfOpen: true,
  socket: {
    ...socket,
    open(downstream) {
      downstream.data = { other: null, rest: null, ending: false };
      downstream.pause();
      Bun.connect<End>({
        hostname: host,
        port: Number(port),
        allowHalfOpen: true,
        data: { other: downstream, rest: null, ending: false },
        socket: {
          ...socket,
          open(upstream) {
            downstream.data.other = upstream;
            downstream.resume();
          },
        },
      }).catch(() => downstream.end());
    },
  },
});
console.log(`127.0.0.1:${listener.port}`);
