/**
 * The floor of TLS handshakes: what Bun's own listener takes for them. It answers nothing, and closes when its client
 * has ended. A yardstick, not a base to build on.
 *
 * Run as `bun tls-accept.ts <certificate> <key> [<authority of clients>]`, PEM files; prints the address where it serves.
 */
import { readFileSync } from "node:fs";

const [certificate = "", key = "", authority] = process.argv
  .slice(2)
  .map((path) => readFileSync(path, "utf8"));

const listener = Bun.listen({
  hostname: "127.0.0.1",
  port: 0,
  allowHalfOpen: true,
  tls: {
    cert: certificate,
    key,
    ...(authority === undefined ? {} : { ca: authority, requestCert: true, rejectUnauthorized: true }),
    // As on the wire: Bun's sockets take no list.
    ALPNProtocols: "\x02h2",
  },
  socket: {
    data() {},
    // Without it Bun tells of handshakes in another way.
    handshake() {},
    end(socket) {
      socket.end();
    },
    error() {},
  },
});
console.log(`127.0.0.1:${listener.port}`);
