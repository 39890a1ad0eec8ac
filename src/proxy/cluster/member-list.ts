/**
 * Cluster.MemberList under `--advertise-client-url`: the members are the proxies that are registered, so that clients
 * which synchronize their endpoints stay with proxies. Without a registration, and while none is known, the proxy names
 * itself alone.
 *
 * The header is a member's, asked with the caller's own credentials: clients read the cluster's id from it, and a
 * caller who may not list the members is refused as etcd would. Without any member in reach the proxy still
 * answers, under an empty header: that is when clients need to know where to go.
 */
import { create } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import {
  type Cluster,
  type MemberListRequest,
  type MemberListResponse,
  MemberListResponseSchema,
} from "../../gen/etcdserverpb/cluster_pb.ts";
import { type ResponseHeader, ResponseHeaderSchema } from "../../gen/etcdserverpb/header_pb.ts";
import { copyCredentials } from "../credentials.ts";
import type { RegisteredProxy } from "./registration-value.ts";

/** How long a member may take for the header. */
const HEADER_TIMEOUT_MS = 1000;

export class AdvertisedMemberList {
  readonly #members: Client<typeof Cluster>;
  readonly #self: RegisteredProxy;
  readonly #registered: () => readonly RegisteredProxy[];

  /** `registered`: the proxies that are registered now, in the order in which they are listed. */
  constructor(
    members: Client<typeof Cluster>,
    self: RegisteredProxy,
    registered: () => readonly RegisteredProxy[] = () => [],
  ) {
    this.#members = members;
    this.#self = self;
    this.#registered = registered;
  }

  async memberList(request: MemberListRequest, context: HandlerContext): Promise<MemberListResponse> {
    const header = await this.#header(request, context);
    const registered = this.#registered();
    const proxies = registered.length === 0 ? [this.#self] : registered;
    return create(MemberListResponseSchema, {
      header,
      members: proxies.map(({ name, clientUrl }) => ({ name, clientURLs: [clientUrl] })),
    });
  }

  async #header(request: MemberListRequest, context: HandlerContext): Promise<ResponseHeader> {
    try {
      const answer = await this.#members.memberList(request, {
        headers: copyCredentials(context.requestHeader),
        signal: context.signal,
        timeoutMs: HEADER_TIMEOUT_MS,
      });
      return answer.header ?? create(ResponseHeaderSchema);
    } catch (error) {
      const { code } = ConnectError.from(error);
      if (code !== Code.Unavailable && code !== Code.DeadlineExceeded) throw error;
      return create(ResponseHeaderSchema);
    }
  }
}
