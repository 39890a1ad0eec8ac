/**
 * The far end of the gateway measurements, in a process of its own: answers, sends or receives as a client asks.
 *
 * A client's first 16 bytes are its order: a letter, and from the ninth byte on a count as a big-endian double.
 *   x  answer with 64 bytes; any number of times on one connection
 *   s  send `count` bytes
 *   r  receive `count` bytes after the order, then answer with one byte
 * Run as `bun tcp-peer.ts`; prints the address where it serves.
 */
import { ANSWER_BYTES, BLOCK, ORDER_BYTES, OrderLetter } from "../tcp-order.ts";

interface State {
  toSendBytes: number;
  toReceiveBytes: number;
}

const answer = new Uint8Array(ANSWER_BYTES);

function send(socket: Bun.Socket<State>): void {
  const state = socket.data;
  while (state.toSendBytes > 0) {
    const block = state.toSendBytes < BLOCK.length ? BLOCK.subarray(0, state.toSendBytes) : BLOCK;
    const written = socket.write(block);
    if (written <= 0) return;
    state.toSendBytes -= written;
    if (written < block.length) return;
  }
}

function receive(socket: Bun.Socket<State>, byteLength: number): void {
  socket.data.toReceiveBytes -= byteLength;
  if (socket.data.toReceiveBytes === 0) socket.write(answer.subarray(0, 1));
}

const listener = Bun.listen<State>({
  hostname: "127.0.0.1",
  port: 0,
  socket: {
    open(socket) {
      socket.data = { toSendBytes: 0, toReceiveBytes: 0 };
    },
    data(socket, chunk) {
      if (socket.data.toReceiveBytes > 0) return receive(socket, chunk.length);
      // An order comes in one piece: it is the first there is on its connection, and short.
      const count = chunk.readDoubleBE(8);
      switch (String.fromCharCode(chunk[0]!)) {
        case OrderLetter.exchange:
          socket.write(answer);
          break;
        case OrderLetter.send:
          socket.data.toSendBytes = count;
          send(socket);
          break;
        case OrderLetter.receive:
          socket.data.toReceiveBytes = count;
          if (chunk.length > ORDER_BYTES) receive(socket, chunk.length - ORDER_BYTES);
          break;
      }
    },
    drain: send,
  },
});
console.log(`127.0.0.1:${listener.port}`);
