/**
 * Where a port's calls go: to the router, or nowhere on a port that has pages only.
 */
import { Code } from "../../grpc/status.ts";
import type { Router } from "../router.ts";

/** What a port needs of the router. */
export type CallRoutes = Pick<
  Router,
  "serve" | "universalHandler" | "serveByConnect" | "connectOptions" | "bodyBytesMax" | "routes"
>;

export const NO_CALLS: CallRoutes = {
  serve: (call) =>
    call.finishWithStatus({
      code: Code.UNIMPLEMENTED,
      message: "etcdproxy: this address has pages only, such as /health",
    }),
  universalHandler: () => undefined,
  serveByConnect: () => {},
  connectOptions: () => ({ acceptCompression: [], readMaxBytes: 1 }),
  bodyBytesMax: () => 1,
  routes: () => {},
};
