/** The status page's text, as it is put together at the build. Loaded by the first who asks for the page. */
import { assembledPage } from "./assemble.ts" with { type: "macro" };
import type { PageText } from "./assemble.ts";

export const PAGE_TEXT: PageText = assembledPage();
