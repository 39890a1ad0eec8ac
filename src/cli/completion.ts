/** `etcdproxy completion`: the completions of each shell, made from the tables of commands and flags. */
import { bashCompletion } from "./bash-completion.ts";
import type { Shell } from "./commands.ts";
import { fishCompletion } from "./fish-completion.ts";
import { zshCompletion } from "./zsh-completion.ts";

/** A script for the shell to run; it defines the completions of `etcdproxy` and nothing else. */
export function completionScript(shell: Shell): string {
  switch (shell) {
    case "bash":
      return bashCompletion();
    case "zsh":
      return zshCompletion();
    case "fish":
      return fishCompletion();
  }
}
