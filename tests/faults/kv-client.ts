/**
 * A client of the store that speaks the model's words: it asks a member or a proxy one request, and tells the answer
 * and the header it came with.
 */
import { KV, type TxnRequest } from "../../src/gen/etcdserverpb/kv_pb.ts";
import type { ResponseHeader } from "../../src/gen/etcdserverpb/header_pb.ts";
import { type CallOptions, GrpcClient } from "../harness/grpc-client.ts";
import { deleteAnswer, putAnswer, rangeAnswer, requestOp, txnAnswer } from "./kv-wire.ts";
import type { KvAnswer, KvRequest } from "./linearizability/kv-operation.ts";
import { RECONNECT_QUICKLY } from "./watch-client.ts";

export interface Told {
  /** Both of the header. */
  readonly revision: number;
  readonly memberId: string;
  readonly answer: KvAnswer;
}

export interface AskOptions extends CallOptions {
  /** The member need not ask the others: a Range only. */
  readonly serializable?: boolean;
}

export class KvClient implements Disposable {
  readonly address: string;
  readonly #client: GrpcClient;

  /** @param address `host:port` of a member or a proxy. */
  constructor(address: string) {
    this.address = address;
    this.#client = new GrpcClient(address, RECONNECT_QUICKLY);
  }

  close(): void {
    this.#client.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** @throws grpc.ServiceError with the status when it is not OK. */
  async ask(asked: KvRequest, options: AskOptions = {}): Promise<Told> {
    const { request } = requestOp(asked);
    switch (request.case) {
      case "requestRange": {
        const { serializable = false } = options;
        const response = await this.#client.unary(
          KV.method.range,
          { ...request.value, serializable },
          options,
        );
        return told(response, rangeAnswer(response));
      }
      case "requestPut": {
        const response = await this.#client.unary(KV.method.put, request.value, options);
        return told(response, putAnswer(response));
      }
      case "requestDeleteRange": {
        const response = await this.#client.unary(KV.method.deleteRange, request.value, options);
        return told(response, deleteAnswer(response));
      }
      case "requestTxn": {
        const response = await this.#client.unary(KV.method.txn, request.value satisfies TxnRequest, options);
        return told(response, txnAnswer(response));
      }
      case undefined:
        throw new Error("a request of no kind");
    }
  }
}

function told({ header }: { readonly header?: ResponseHeader | undefined }, answer: KvAnswer): Told {
  if (header === undefined) throw new Error("an answer without a header");
  return { revision: Number(header.revision), memberId: String(header.memberId), answer };
}
