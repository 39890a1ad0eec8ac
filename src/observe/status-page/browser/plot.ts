/**
 * A plot: lines over the time that is kept, in SVG, with a legend that tells values, and the same as a table.
 *
 * Drawn anew from the history whenever there is something new. A moment without an answer is a gap. What a pointer is on is
 * told by the legend of every plot: so one sees what else was the case then.
 */
import type { PlotPlan } from "../model/figures.ts";
import { type History, HISTORY_MS, type Point } from "../model/history.ts";
import { timeTicks, valueTicks } from "../model/scale.ts";
import { ABSENT, clock, worded } from "../model/wording.ts";
import { drawing, element, setAttributes, setText } from "./dom.ts";

const HEIGHT = 132;
const TOP = 6;
const BOTTOM = 18;
const LEFT = 58;
const RIGHT = 10;
/** What the time axis spans at least, so that a page that was just opened is not drawn in leaps. */
const SPAN_MIN_MS = 2 * 60_000;
/** A longer time without a look is a gap: the machine was asleep. */
const GAP_MS = 90_000;
const TABLE_ROWS_MAX = 60;
/** Width of a time on the axis, with its distance. */
const TIME_WIDTH = 72;

/** The span that plots show now. */
export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

/** From the oldest moment that is kept, two minutes at least, to the newest. */
export function spanOf(history: History): Span {
  const toMs = history.points.at(-1)?.timeMs ?? Date.now();
  const oldest = history.points[0]?.timeMs ?? toMs;
  return { fromMs: toMs - Math.min(HISTORY_MS, Math.max(SPAN_MIN_MS, toMs - oldest)), toMs };
}

export class Plot {
  readonly root: HTMLElement;
  readonly #plan: PlotPlan;
  readonly #canvas = element("div", { class: "canvas" });
  readonly #axes = drawing("g");
  readonly #hair = drawing("line", { class: "hair", y1: TOP, y2: HEIGHT - BOTTOM });
  readonly #dots: readonly SVGCircleElement[];
  readonly #paths: readonly SVGPathElement[];
  readonly #svg: SVGSVGElement;
  readonly #absent: HTMLElement;
  readonly #values: readonly HTMLElement[];
  readonly #at = element("li", { class: "at" });
  readonly #details = element("details");
  readonly #tableBody = element("tbody");
  #span: Span = { fromMs: 0, toMs: 1 };
  /** The legend tells what was, not what is. */
  #pointed = false;
  #history: History | null = null;

  /** @param onPoint told of the time that a pointer is on; null when it has left */
  constructor(plan: PlotPlan, onPoint: (timeMs: number | null) => void) {
    this.#plan = plan;
    this.#paths = plan.lines.map((_, index) => drawing("path", { class: `series series-${index}` }));
    this.#dots = plan.lines.map((_, index) => drawing("circle", { class: `dot series-${index}`, r: 3 }));
    this.#values = plan.lines.map(() => element("b", {}, ABSENT));
    this.#svg = drawing(
      "svg",
      { role: "img", "aria-label": plan.title },
      this.#axes,
      this.#hair,
      ...this.#paths,
      ...this.#dots,
    );
    this.#absent = element("p", {}, plan.absent ?? "");
    this.#canvas.append(this.#svg, this.#absent);
    this.root = element(
      "div",
      { class: "plot" },
      element("h3", {}, plan.title),
      this.#legend(),
      this.#canvas,
      this.#table(),
    );
    this.#canvas.addEventListener("pointermove", (event) => onPoint(this.#timeAt(event)));
    this.#canvas.addEventListener("pointerleave", () => onPoint(null));
    this.#details.addEventListener("toggle", () => {
      if (this.#history !== null && this.#details.open) this.#fillTable(this.#history);
    });
  }

  /** Called when the plot's size has changed, too. @param atMs the time that a pointer is on */
  show(history: History, atMs: number | null): void {
    this.#history = history;
    const ranges = this.#plan.lines.map(({ key }) => history.range(key));
    const hasValues = ranges.some((range) => range !== null);
    this.root.hidden = !hasValues && this.#plan.absent === undefined;
    this.#absent.hidden = hasValues;
    this.#span = spanOf(history);
    const greatest = Math.max(0, ...ranges.map((range) => range?.greatest ?? 0));
    this.#draw(history, topOf(greatest, this.#plan), atMs);
    this.#tell(history, ranges);
    if (this.#details.open) this.#fillTable(history);
  }

  #legend(): HTMLElement {
    const items = this.#plan.lines.map(({ name }, index) => {
      const swatch = drawing(
        "svg",
        { viewBox: "0 0 14 8", "aria-hidden": "true" },
        drawing("path", { class: `series series-${index}`, d: "M1 4H13" }),
      );
      return element("li", {}, swatch, `${name} `, this.#values[index]!);
    });
    return element("ul", { class: "legend" }, ...items, this.#at);
  }

  #table(): HTMLElement {
    const { title, lines } = this.#plan;
    const headings = ["Time", ...lines.map(({ name }) => name)];
    const head = headings.map((heading, index) =>
      element("th", { scope: "col", class: index === 0 ? "" : "number" }, heading),
    );
    const caption = element("caption", {}, `${title}, newest first`);
    const table = element(
      "table",
      {},
      caption,
      element("thead", {}, element("tr", {}, ...head)),
      this.#tableBody,
    );
    const scroll = { class: "scroll", role: "region", "aria-label": `${title}, values`, tabindex: 0 };
    this.#details.append(
      element("summary", { "aria-label": `Table: ${title}` }, "Table"),
      element("div", scroll, table),
    );
    return this.#details;
  }

  #fillTable({ points }: History): void {
    const every = Math.max(1, Math.ceil(points.length / TABLE_ROWS_MAX));
    const shown = points.toReversed().filter((_, index) => index % every === 0);
    const rows = shown.map(({ timeMs, values }) => {
      const cells = this.#plan.lines.map(({ key }) =>
        element("td", { class: "number" }, worded(values.get(key) ?? null, this.#plan.unit)),
      );
      return element("tr", {}, element("th", { scope: "row" }, clock(timeMs)), ...cells);
    });
    this.#tableBody.replaceChildren(...rows);
  }

  #draw(history: History, greatest: number, atMs: number | null): void {
    const { unit, lines } = this.#plan;
    const ofBytes = unit === "bytes" || unit === "bytesPerSecond";
    const ticks = valueTicks(greatest, ofBytes ? 1024 : 10, unit === "count" || ofBytes ? 1 : 0);
    const width = Math.max(this.#canvas.clientWidth, 200);
    const { fromMs, toMs } = this.#span;
    const top = ticks.at(-1)!;
    const x = (timeMs: number): number =>
      LEFT + ((timeMs - fromMs) / (toMs - fromMs)) * (width - LEFT - RIGHT);
    const y = (value: number): number => HEIGHT - BOTTOM - (value / top) * (HEIGHT - BOTTOM - TOP);
    setAttributes(this.#svg, { viewBox: `0 0 ${width} ${HEIGHT}` });

    const zoneMs = -new Date(toMs).getTimezoneOffset() * 60_000;
    const times = timeTicks(fromMs, toMs, Math.max(2, Math.floor((width - LEFT) / TIME_WIDTH)), zoneMs);
    const withSeconds = toMs - fromMs < 4 * 60_000;
    this.#axes.replaceChildren(
      ...ticks.flatMap((tick) => [
        drawing("line", { class: "gridline", x1: LEFT, x2: width - RIGHT, y1: y(tick), y2: y(tick) }),
        drawing(
          "text",
          { x: LEFT - 8, y: y(tick) + 4, "text-anchor": "end" },
          tick === 0 ? "0" : worded(tick, unit),
        ),
      ]),
      ...times
        .filter((time) => x(time) < width - RIGHT - 20)
        .map((time) => {
          const place = { x: x(time), y: HEIGHT - 3, "text-anchor": "middle", class: "time" };
          return drawing("text", place, clock(time, withSeconds));
        }),
    );
    lines.forEach(({ key }, index) => {
      setAttributes(this.#paths[index]!, { d: pathOf(history.points, key, x, y) });
    });
    this.#point(nearest(history.points, atMs), x, y);
  }

  /** Shows what the values were at `point`; without one, what they are. */
  #point(point: Point | null, x: (timeMs: number) => number, y: (value: number) => number): void {
    this.#hair.toggleAttribute("hidden", point === null);
    if (point !== null) setAttributes(this.#hair, { x1: x(point.timeMs), x2: x(point.timeMs) });
    setText(this.#at, point === null ? "" : `at ${clock(point.timeMs)}`);
    this.#plan.lines.forEach(({ key }, index) => {
      const value = point?.values.get(key) ?? null;
      const dot = this.#dots[index]!;
      dot.toggleAttribute("hidden", value === null);
      if (point !== null && value !== null) setAttributes(dot, { cx: x(point.timeMs), cy: y(value) });
      if (point !== null) setText(this.#values[index]!, worded(value, this.#plan.unit));
    });
    this.#pointed = point !== null;
  }

  /** The latest values in the legend, and all of it in words for who does not see it. */
  #tell(history: History, ranges: readonly ReturnType<History["range"]>[]): void {
    const { title, unit, lines } = this.#plan;
    const told = lines.map(({ key, name }, index) => {
      const latest = worded(history.latest(key), unit);
      if (!this.#pointed) setText(this.#values[index]!, latest);
      const range = ranges[index] ?? null;
      if (range === null) return `${name}: no values`;
      return `${name}: ${latest} now, from ${worded(range.least, unit)} to ${worded(range.greatest, unit)}`;
    });
    setAttributes(this.#svg, { "aria-label": `${title}. ${told.join("; ")}.` });
  }

  #timeAt(event: PointerEvent): number {
    const { left, width } = this.#canvas.getBoundingClientRect();
    const part = (event.clientX - left - LEFT) / (width - LEFT - RIGHT);
    return this.#span.fromMs + Math.min(1, Math.max(0, part)) * (this.#span.toMs - this.#span.fromMs);
  }
}

/** How high the plot reaches: a little above the greatest value; parts are seen as parts of all. */
function topOf(greatest: number, { unit }: PlotPlan): number {
  return unit === "part" && greatest > 0.5 && greatest <= 1 ? 1 : greatest * 1.04;
}

function nearest(points: readonly Point[], atMs: number | null): Point | null {
  let best: Point | null = null;
  if (atMs === null) return null;
  for (const point of points) {
    if (best === null || Math.abs(point.timeMs - atMs) < Math.abs(best.timeMs - atMs)) best = point;
  }
  return best;
}

function pathOf(
  points: readonly Point[],
  line: string,
  x: (timeMs: number) => number,
  y: (value: number) => number,
): string {
  const path: string[] = [];
  let beforeMs = Number.NEGATIVE_INFINITY;
  for (const { timeMs, values } of points) {
    const value = values.get(line) ?? null;
    if (value === null) {
      beforeMs = Number.NEGATIVE_INFINITY;
      continue;
    }
    const at = `${x(timeMs).toFixed(1)} ${y(value).toFixed(1)}`;
    // A lone value is a dot.
    path.push(timeMs - beforeMs > GAP_MS ? `M${at}h0` : `L${at}`);
    beforeMs = timeMs;
  }
  return path.join("");
}
