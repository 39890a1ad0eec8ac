/**
 * Leases at etcd itself, made before a load and revoked behind it: 5000 of them that expire would be what etcd does
 * during the next load.
 */
import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { LeaseGrantRequestSchema, LeaseRevokeRequestSchema } from "../../../src/gen/etcdserverpb/lease_pb.ts";
import { CallTemplate } from "../load/call-template.ts";
import { indexedHeaders } from "../load/indexed-headers.ts";
import { UnaryClients } from "../load/unary-clients.ts";
import { type Call, listedCalls } from "../load/unary-connection.ts";

const IN_FLIGHT = 256;

export interface LeaseRange {
  /** The first lease's id; the others follow it. */
  readonly firstId: number;
  readonly leases: number;
}

export async function grantLeases(etcdAddress: string, range: LeaseRange, ttlSeconds: number): Promise<void> {
  await callForEach(etcdAddress, "/etcdserverpb.Lease/LeaseGrant", LeaseGrantRequestSchema, range, (id) => ({
    ID: BigInt(id),
    TTL: BigInt(ttlSeconds),
  }));
}

/** @throws Error when one is gone already. */
export async function revokeLeases(etcdAddress: string, range: LeaseRange): Promise<void> {
  await callForEach(
    etcdAddress,
    "/etcdserverpb.Lease/LeaseRevoke",
    LeaseRevokeRequestSchema,
    range,
    (id) => ({
      ID: BigInt(id),
    }),
  );
}

/** Calls the method at `path` for each lease: the first one alone, so that the others refer to its header fields. */
async function callForEach<Input extends DescMessage>(
  etcdAddress: string,
  path: string,
  input: Input,
  { firstId, leases }: LeaseRange,
  requestOf: (id: number) => MessageInitShape<Input>,
): Promise<void> {
  const { openings, repeats } = indexedHeaders([path], etcdAddress);
  const [opening, ...rest] = Array.from({ length: leases }, (_, index): Call => {
    const message = toBinary(input, create(input, requestOf(firstId + index)));
    const template = new CallTemplate(index === 0 ? openings[0]! : repeats[0]!, message);
    return { template, readKey: null };
  });
  using clients = await UnaryClients.open(etcdAddress, 1, IN_FLIGHT, [opening!]);
  await clients.run(listedCalls(rest));
}
