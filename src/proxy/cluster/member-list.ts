/**
 * Cluster.MemberList under `--advertise-client-url`: the proxy names itself as the only member, so that clients
 * which synchronize their endpoints stay with it.
 *
 * The header is a member's, asked with the caller's own credentials: clients read the cluster's id from it, and a
 * caller who may not list the members is refused as etcd would. Without any member in reach the proxy still
 * answers, under an empty header: that is when clients need to know where to go.
 */
import { hostname } from "node:os";
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

/** How long a member may take for the header. */
const HEADER_TIMEOUT_MS = 1000;

export class AdvertisedMemberList {
  readonly #members: Client<typeof Cluster>;
  readonly #clientUrl: string;

  constructor(members: Client<typeof Cluster>, clientUrl: string) {
    this.#members = members;
    this.#clientUrl = clientUrl;
  }

  async memberList(request: MemberListRequest, context: HandlerContext): Promise<MemberListResponse> {
    return create(MemberListResponseSchema, {
      header: await this.#header(request, context),
      members: [{ name: hostname(), clientURLs: [this.#clientUrl] }],
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
