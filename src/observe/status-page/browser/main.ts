/**
 * The status page's program: asks the proxy, keeps what it says for ten minutes, and shows it.
 *
 * Invariant: whatever the proxy says, or does not say, the page goes on asking, and shows what it knows with the time that
 * it is from.
 */
import { methodCalls } from "../model/calls.ts";
import { proxyState, type Tone } from "../model/endpoints-told.ts";
import { GATEWAY_CONNECTIONS, GATEWAY_FIGURES } from "../model/gateway-figures.ts";
import { History } from "../model/history.ts";
import { type Moment, Moments, OpenTime } from "../model/moment.ts";
import { STARTED_AT } from "../model/process-figures.ts";
import { PROXY_FIGURES } from "../model/proxy-figures.ts";
import { ABSENT, clock, day, elapsed, worded } from "../model/wording.ts";
import { byId, element, setAttributes, setText } from "./dom.ts";
import { EndpointTables, type Product } from "./endpoint-tables.ts";
import { Plot } from "./plot.ts";
import { type Answer, type AnswerHandler, askForEver } from "./proxy-client.ts";
import { Table } from "./table.ts";
import { startTheme } from "./theme.ts";

const GAP = new Map<string, null>();
/** Workers of one process start one after the other; what starts later is another process. */
const RESTART_MS = 1_000;

class StatusPage implements AnswerHandler {
  readonly #history = new History();
  readonly #moments = new Moments();
  readonly #openTime = new OpenTime();
  readonly #methods = new Table("methods", [
    { title: "Method", set: "narrow" },
    { title: "Kind", set: "narrow" },
    { title: "Calls", set: "number" },
    { title: "Failed", set: "number" },
    { title: "p50", set: "number" },
    { title: "p95", set: "number" },
    { title: "p99", set: "number" },
    { title: "Since the start", set: "number" },
  ]);
  #product: Product | null = null;
  #tables: EndpointTables | null = null;
  #plots: readonly Plot[] = [];
  /** The value and the detail of each figure. */
  readonly #figures = new Map<string, readonly [HTMLElement, HTMLElement]>();
  #startedMs: number | null = null;
  #answeredMs: number | null = null;
  #silentSinceMs: number | null = null;
  /** What a pointer is on. */
  #pointedMs: number | null = null;
  #latest: { readonly moment: Moment; readonly answer: Answer } | null = null;

  onAnswer(answer: Answer): void {
    const product = answer.metrics.sum(GATEWAY_CONNECTIONS) === null ? "grpc-proxy" : "gateway";
    if (this.#product !== null && this.#product !== product) location.reload();
    if (this.#product === null) this.#build(product);
    const nowMs = Date.now();
    const startedMs = (answer.metrics.sum(STARTED_AT) ?? 0) * 1000;
    if (this.#startedMs !== null && startedMs > this.#startedMs + RESTART_MS)
      this.#tables?.restarted(startedMs);
    this.#startedMs = startedMs;
    this.#answeredMs = nowMs;
    this.#silentSinceMs = null;
    const moment = this.#moments.add(this.#openTime.nowMs, answer.metrics);
    const lines = this.#planned().plots.flatMap((plan) => plan.lines);
    this.#history.add(nowMs, new Map(lines.map((line) => [line.key, line.read(moment)] as const)));
    this.#latest = { moment, answer };
    this.show();
  }

  onFailure(reason: string): void {
    const nowMs = Date.now();
    this.#silentSinceMs ??= nowMs;
    if (this.#product !== null) this.#history.add(nowMs, GAP);
    this.#showOutage(reason, this.#silentSinceMs);
    this.#showPlots();
  }

  /** Shows what is known, unless nobody looks: then when somebody does. */
  show(): void {
    if (document.hidden || this.#latest === null) return;
    const { moment, answer } = this.#latest;
    document.body.classList.toggle("stale", this.#silentSinceMs !== null);
    if (this.#silentSinceMs === null) {
      byId("outage").hidden = true;
      const { words, tone } = proxyState(answer.endpoints);
      this.#showState(words, tone);
    }
    this.#showProcess();
    for (const figure of this.#planned().figures) {
      const { value, detail } = figure.read(moment);
      const [valueElement, detailElement] = this.#figures.get(figure.key)!;
      setText(valueElement, value);
      setText(detailElement, detail);
    }
    this.#tables?.show(answer.endpoints, moment);
    this.#showMethods(moment);
    this.#showPlots();
  }

  #planned() {
    return this.#product === "gateway" ? GATEWAY_FIGURES : PROXY_FIGURES;
  }

  #build(product: Product): void {
    this.#product = product;
    setText(byId("product"), product);
    document.title = `etcdproxy ${product} ${location.host}`;
    this.#tables = new EndpointTables(product);
    byId("figures").dataset["product"] = product;
    for (const { key, title } of this.#planned().figures) {
      const value = element("dd", { class: "value" }, ABSENT);
      const detail = element("dd", { class: "detail" });
      this.#figures.set(key, [value, detail]);
      byId("figures").append(element("div", { "data-figure": key }, element("dt", {}, title), value, detail));
    }
    const onPoint = (timeMs: number | null): void => {
      this.#pointedMs = timeMs;
      this.#showPlots();
    };
    this.#plots = this.#planned().plots.map((plan) => new Plot(plan, onPoint));
    byId("plots").append(...this.#plots.map(({ root }) => root));
    new ResizeObserver(() => this.#showPlots()).observe(byId("plots"));
  }

  #showPlots(): void {
    if (document.hidden) return;
    for (const plot of this.#plots) plot.show(this.#history, this.#pointedMs);
  }

  #showState(words: string, tone: Tone): void {
    setText(byId("state-text"), words);
    setAttributes(byId("state").firstElementChild!, { "data-tone": tone });
  }

  #showOutage(reason: string, sinceMs: number): void {
    document.body.classList.add("stale");
    this.#showState(`Does not answer since ${clock(sinceMs)}`, "bad");
    const known =
      this.#answeredMs === null
        ? ""
        : ` What is shown is from ${day(this.#answeredMs)} ${clock(this.#answeredMs)}.`;
    const banner = byId("outage");
    setText(banner, `The proxy does not answer since ${clock(sinceMs)}: ${reason}.${known} It is asked on.`);
    banner.hidden = false;
  }

  #showProcess(): void {
    const startedMs = this.#startedMs ?? 0;
    const started =
      startedMs === 0
        ? ""
        : ` · started ${day(startedMs)} ${clock(startedMs)}, ${elapsed(Date.now() - startedMs)} ago`;
    setText(byId("process"), `${location.host}${started}`);
  }

  #showMethods({ now, minute }: Moment): void {
    const calls = methodCalls(now, minute);
    byId("methods").hidden = calls.length === 0;
    const rows = calls.map(({ method, type, total, perSecond, failedPerSecond, p50, p95, p99 }) => ({
      key: `${method} ${type}`,
      cells: [
        method,
        type.replace("_", " "),
        worded(perSecond, "perSecond"),
        worded(failedPerSecond, "perSecond"),
        ...[p50, p95, p99].map((seconds) => worded(seconds, "seconds")),
        worded(total, "count"),
      ],
    }));
    this.#methods.show(rows, "No calls yet");
  }
}

startTheme();
const page = new StatusPage();
document.addEventListener("visibilitychange", () => page.show());
askForEver(page);
