/**
 * Debian's Chromium without a screen, and a page in it of which is known what it asked for and what it complained of.
 *
 * Nothing is downloaded: playwright-core drives the browser that is there. Its profile is empty and goes with it.
 */
import { source as axeSource } from "axe-core";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";

/** What the browser would ask the world by itself is switched off; it runs as whoever runs the tests, root too. */
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export async function startBrowser(): Promise<Browser> {
  const executablePath = Bun.which("chromium");
  if (executablePath === null) throw new Error("chromium is missing: scripts/setup installs it");
  return await chromium.launch({ executablePath, args: FLAGS });
}

/** A look at a status page. */
export class PageVisit implements AsyncDisposable {
  readonly page: Page;
  /** URLs that the page has asked for. */
  readonly requests: string[] = [];
  /** What the browser's console calls an error, and exceptions that nobody caught. */
  readonly complaints: string[] = [];

  private constructor(page: Page) {
    this.page = page;
    page.on("request", (request) => this.requests.push(request.url()));
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) this.complaints.push(message.text());
    });
    page.on("pageerror", (error) => this.complaints.push(error.message));
  }

  /** Opens `url`, and resolves once the page has shown an answer. */
  static async open(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<PageVisit> {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
    const visit = new PageVisit(await context.newPage());
    await visit.page.goto(url);
    await visit.page.waitForSelector("#figures > div");
    return visit;
  }

  /** The text of each cell of a table's rows. */
  async rows(table: "endpoints" | "methods" | "events"): Promise<string[][]> {
    // As text: what runs in the browser knows things that the tests do not.
    return await this.page.evaluate<string[][]>(
      `[...document.querySelectorAll("#${table}-body tr:not(.none)")].map((row) => [...row.cells].map((cell) => cell.textContent))`,
    );
  }

  /** The value and the detail of a figure. */
  async figure(key: string): Promise<{ value: string; detail: string }> {
    const text = async (part: string): Promise<string> =>
      (await this.page.textContent(`[data-figure="${key}"] .${part}`)) ?? "";
    return { value: await text("value"), detail: await text("detail") };
  }

  /** What the page says of the proxy as a whole. */
  async state(): Promise<string> {
    return (await this.page.textContent("#state-text")) ?? "";
  }

  /** What a screen reader is told of each plot. */
  async plots(): Promise<string[]> {
    return await this.page.evaluate<string[]>(
      '[...document.querySelectorAll(".plot:not([hidden]) .canvas svg")].map((plot) => plot.getAttribute("aria-label"))',
    );
  }

  /** What axe-core finds to be wrong, each as a line. */
  async violations(): Promise<string[]> {
    // Evaluated by the debugger, which the page's policy does not bind.
    await this.page.evaluate(axeSource);
    const { violations } = await this.page.evaluate<AxeResults>("axe.run()");
    return violations.flatMap(({ id, nodes }) =>
      nodes.map((node) => `${id}: ${node.html}: ${node.failureSummary ?? ""}`),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.page.context().close();
  }
}

interface AxeResults {
  readonly violations: readonly {
    readonly id: string;
    readonly nodes: readonly { readonly html: string; readonly failureSummary?: string }[];
  }[];
}
