/** A listener for pages alone, that shares nothing with one for clients: where those are served by other threads. */
import { DeadlineTimer } from "../../base/deadline-wheel.ts";
import { ByteCounts } from "../../grpc/byte-counts.ts";
import { keepaliveTimer } from "../../grpc/keepalive-run.ts";
import { BufferBudget } from "../../http2/buffer-budget.ts";
import { HTTP2_LIMITS, STREAM_WINDOW_BYTES } from "../../http2/limits.ts";
import { defaultSettings } from "../../http2/settings.ts";
import { LimitLog } from "../../observe/limit-log.ts";
import type { Logger } from "../../observe/log.ts";
import { RateLimitedLog } from "../../observe/rate-limited-log.ts";
import type { Pages } from "../../observe/page.ts";
import { NO_CALLS } from "./call-routes.ts";
import { ClientKeepalive } from "./client-keepalive.ts";
import { openPages, type PagesListener } from "./listeners.ts";
import type { Port } from "./port.ts";

/** What those who read pages can make the process hold. */
const BUFFER_BYTES_MAX = 16 * 1024 * 1024;

/** Listens. @throws ListenError */
export function openPagesPort(listener: PagesListener, pages: Pages, log: Logger): Port {
  const limitedLog = new RateLimitedLog(log, () => performance.now());
  return openPages(listener, {
    router: NO_CALLS,
    pages,
    deadlines: new DeadlineTimer(),
    log: limitedLog,
    limits: new LimitLog(limitedLog),
    keepalive: new ClientKeepalive(null, keepaliveTimer()),
    bytes: new ByteCounts(),
    http2: {
      limits: HTTP2_LIMITS,
      budget: new BufferBudget(BUFFER_BYTES_MAX),
      settings: {
        ...defaultSettings(),
        initialWindowBytes: STREAM_WINDOW_BYTES,
        headerListBytesMax: HTTP2_LIMITS.headerListBytesMax,
      },
    },
  });
}
