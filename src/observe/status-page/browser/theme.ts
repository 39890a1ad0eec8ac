/** Light, dark, or as the system has it: chosen by the button, remembered where the browser lets us. */
import { byId, setText } from "./dom.ts";

const THEMES = ["automatic", "light", "dark"] as const;
type Theme = (typeof THEMES)[number];
const STORED_AS = "etcdproxy-theme";

export function startTheme(): void {
  const button = byId("theme");
  let theme = stored();
  const apply = (): void => {
    setText(button, `Theme: ${theme}`);
    if (theme === "automatic") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = theme;
  };
  button.addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]!;
    store(theme);
    apply();
  });
  apply();
}

function stored(): Theme {
  try {
    return THEMES.find((theme) => theme === localStorage.getItem(STORED_AS)) ?? "automatic";
  } catch {
    return "automatic"; // Storage is refused.
  }
}

function store(theme: Theme): void {
  try {
    localStorage.setItem(STORED_AS, theme);
  } catch {
    // It holds as long as the page is open.
  }
}
