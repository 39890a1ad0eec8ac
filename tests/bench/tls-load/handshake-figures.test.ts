import { expect, test } from "bun:test";
import { handshakeFiguresLine } from "./handshake-figures.ts";

test("figures are told in one line, those that there are", () => {
  const figures = { handshakes: 5000, elapsedSeconds: 2.5, p50Micros: 4000, p99Micros: 9000 };
  const line = "2 000 handshakes/s (5 000 in 2.50 s), p50 4 000 µs, p99 9 000 µs";
  expect(handshakeFiguresLine(figures)).toBe(line);
  expect(handshakeFiguresLine({ ...figures, proxyCpuMicros: 210, clientCpuMicros: 310 })).toBe(
    `${line}, CPU each: proxy 210 µs, clients 310 µs`,
  );
});
