/**
 * The calls of a load: a read and a put of each key, as frames, and the order in which they are sent.
 *
 * Every key is as long as the others. Invariant: what is drawn depends on the seed alone.
 */
import { create, toBinary } from "@bufbuild/protobuf";
import { KV } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { CallTemplate } from "../load/call-template.ts";
import { indexedHeaders } from "../load/indexed-headers.ts";
import { type Call, type CallSource, listedCalls } from "../load/unary-connection.ts";
import { SeededRandom } from "./seeded-random.ts";
import { ZipfChoice } from "./zipf-choice.ts";

const PATHS = ["/etcdserverpb.KV/Put", "/etcdserverpb.KV/Range"];

export interface MixPlan {
  readonly keys: number;
  /** Of the Zipf distribution by which keys are chosen. */
  readonly exponent: number;
  readonly putPercent: number;
  readonly valueBytes: number;
  readonly serializable: boolean;
  readonly seed: number;
}

export class CallMix {
  /** One of each method, to be sent first on every connection: later ones refer to their header fields. */
  readonly openings: readonly Call[];
  readonly #reads: readonly Call[];
  readonly #puts: readonly Call[];
  readonly #choice: ZipfChoice;
  readonly #random: SeededRandom;
  readonly #putShare: number;

  /** @param authority `host:port` that the calls go to. */
  constructor(authority: string, plan: MixPlan) {
    const { keys, exponent, putPercent, valueBytes, serializable, seed } = plan;
    const value = new Uint8Array(valueBytes).fill(0x76);
    const { put, range } = KV.method;
    const putMessage = (key: Uint8Array): Uint8Array =>
      toBinary(put.input, create(put.input, { key, value }));
    const rangeMessage = (key: Uint8Array): Uint8Array =>
      toBinary(range.input, create(range.input, { key, serializable }));
    const { openings, repeats } = indexedHeaders(PATHS, authority);
    const names = Array.from({ length: keys }, (_, index) => keyOf(index));
    this.#puts = names.map((key) => ({
      template: new CallTemplate(repeats[0]!, putMessage(key)),
      readKey: null,
    }));
    this.#reads = names.map((key) => ({
      template: new CallTemplate(repeats[1]!, rangeMessage(key)),
      readKey: key,
    }));
    this.openings = [putMessage(names[0]!), rangeMessage(names[0]!)].map((message, index) => ({
      template: new CallTemplate(openings[index]!, message),
      readKey: null,
    }));
    this.#choice = new ZipfChoice(keys, exponent);
    this.#random = new SeededRandom(seed);
    this.#putShare = putPercent / 100;
  }

  /** A put of every key. */
  everyPut(): CallSource {
    return listedCalls(this.#puts);
  }

  /** `calls` in all, each a put or a read by chance, of a key by chance. */
  drawn(calls: number): CallSource {
    let left = calls;
    return {
      next: () => {
        if (left === 0) return null;
        left--;
        const kind = this.#random.next() < this.#putShare ? this.#puts : this.#reads;
        return kind[this.#choice.at(this.#random.next())]!;
      },
    };
  }
}

function keyOf(index: number): Uint8Array {
  return new TextEncoder().encode(`bench/zipf/${String(index).padStart(6, "0")}`);
}
