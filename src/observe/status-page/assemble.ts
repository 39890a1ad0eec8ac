/**
 * Puts the status page together: the markup, its style, and its program in one bundle, as one text.
 *
 * It is a macro of Bun: it runs while the program is built (or, from sources, as `page-text.ts` is loaded), and what it
 * returns stands in the program in its place. So nothing of it, nor of the page's parts, is read when the program runs. The
 * bundle is made by another Bun process: within a macro Bun cannot bundle.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import packageJson from "../../../package.json" with { type: "json" };

/** A page, and what a Content-Security-Policy calls its script and its style. */
export interface PageText {
  readonly html: string;
  /** Of the text between the tags, SHA-256 in base64. */
  readonly scriptHash: string;
  readonly styleHash: string;
}

/** @throws Error when the page's program cannot be bundled, or cannot stand between its tags */
export function assembledPage(): PageText {
  const folder = import.meta.dir;
  const script = bundled(join(folder, "browser", "main.ts"));
  const style = readFileSync(join(folder, "style.css"), "utf8");
  const markup = readFileSync(join(folder, "page.html"), "utf8");
  const html = [
    ["<style></style>", `<style>${style}</style>`],
    ["<script></script>", `<script>${script}</script>`],
    ['<span id="version"></span>', `<span id="version">${packageJson.version}</span>`],
  ].reduce((text, [place = "", filled = ""]) => {
    if (text.split(place).length !== 2) throw new Error(`the page has not one ${place}`);
    return text.replace(place, () => filled);
  }, markup);
  // Text that ends its own element would let what is behind it be markup.
  if (/<\/(script|style)|<!--/i.test(script + style)) throw new Error("the page's parts cannot stand in it");
  return { html, scriptHash: hashOf(script), styleHash: hashOf(style) };
}

function bundled(entry: string): string {
  const command = [process.execPath, "build", entry, "--target=browser", "--format=iife", "--minify"];
  const { success, stdout, stderr } = Bun.spawnSync(command, {
    env: { ...process.env, NODE_ENV: "production" },
  });
  if (!success) throw new Error(`the status page cannot be bundled:\n${stderr.toString()}`);
  return stdout.toString().trim();
}

function hashOf(text: string): string {
  return new Bun.CryptoHasher("sha256").update(text).digest("base64");
}
