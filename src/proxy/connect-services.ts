/**
 * Every etcd method as a Connect service, for callers that speak another protocol than gRPC.
 *
 * A method that the proxy implements with types is registered as that; every other one decodes its request and
 * makes the same call on the proxy's lanes that a gRPC caller would have made, so that all protocols pass the
 * same rules. Registered from the generated descriptors: no list of methods is kept by hand.
 */
import type { DescService } from "@bufbuild/protobuf";
import {
  type CallOptions,
  type Client,
  type ConnectRouter,
  createClient,
  type HandlerContext,
  type ServiceImpl,
  type Transport,
} from "@connectrpc/connect";
import { SERVICES } from "../etcd/services.ts";

/** Methods with a typed implementation, by service. */
export interface TypedServices {
  readonly [typeName: string]: Readonly<Record<string, unknown>> | undefined;
}

/** Registers all services. `lanes` carries calls to the proxy's own lanes. */
export function registerServices(router: ConnectRouter, lanes: Transport, typed: TypedServices): void {
  for (const service of SERVICES) {
    const passed = passedToLanes(service, createClient(service, lanes));
    router.service(service, { ...passed, ...typed[service.typeName] } as Partial<ServiceImpl<DescService>>);
  }
}

type AnyCall = (request: unknown, options: CallOptions) => unknown;

function passedToLanes(service: DescService, client: Client<DescService>): Record<string, unknown> {
  const implementation: Record<string, unknown> = {};
  for (const method of service.methods) {
    const call = (client as Record<string, AnyCall>)[method.localName]!;
    implementation[method.localName] = (request: unknown, context: HandlerContext) =>
      call(request, callOptions(context));
  }
  return implementation;
}

/** The caller's metadata, deadline and cancel go along; the answer's metadata comes back. */
function callOptions(context: HandlerContext): CallOptions {
  const timeoutMs = context.timeoutMs();
  return {
    headers: callerMetadata(context.requestHeader),
    signal: context.signal,
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    onHeader: (headers) => copyMetadata(headers, context.responseHeader),
    onTrailer: (trailers) => copyMetadata(trailers, context.responseTrailer),
  };
}

/** Fields that belong to the protocol a call came by, not to the call. */
const PROTOCOL_FIELD =
  /^(?::.*|connect-.*|grpc-.*|content-.*|accept(?:-.*)?|te|trailer|host|connection|keep-alive|transfer-encoding|upgrade|proxy-.*|user-agent|date|server|vary)$/;

/** What of the fields of a request in another protocol is metadata of the call. */
export function callerMetadata(headers: Headers): Headers {
  const metadata = new Headers();
  copyMetadata(headers, metadata);
  return metadata;
}

function copyMetadata(from: Headers, to: Headers): void {
  from.forEach((value, name) => {
    if (!PROTOCOL_FIELD.test(name)) to.append(name, value);
  });
}
