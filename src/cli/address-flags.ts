/**
 * Flags that hold an address: `--listen-addr`, `--metrics-addr` and `--dns-server`.
 * Stands between their text and the parsed address; an error names the flag.
 */
import {
  type Address,
  AddressError,
  formatAddress,
  isIpLiteral,
  parseAddress,
  parseHostAndPort,
  withoutUserInfo,
} from "../net/address.ts";
import { quoted, usageError } from "./command-line-error.ts";

const metricsExample = "http://127.0.0.1:2381";
const nameServerPort = 53;
const nameServerExample = "10.0.0.2:53";

/** The address in `--listen-addr`. Throws `CommandLineError`. */
export function listenAddressFlag(text: string): Address {
  return naming("--listen-addr", () => parseAddress(text));
}

/** Where the pages are served beside the main port, and how. */
export interface PagesUrl {
  readonly scheme: "http" | "https";
  readonly address: Address;
}

/** The URL in `--metrics-addr`; undefined when the flag is empty. Throws `CommandLineError`. */
export function metricsAddressFlag(text: string): PagesUrl | undefined {
  if (text === "") return undefined;
  const refuse = (problem: string): never => {
    throw usageError(`--metrics-addr ${quoted(withoutUserInfo(text))} ${problem}`);
  };
  const [, schemeText = "", authority = "", rest = ""] =
    /^(?:([A-Za-z][A-Za-z0-9+.-]*):\/\/)?([^/?#]*)(.*)$/s.exec(text) ?? [];
  const scheme = schemeText.toLowerCase();
  if (scheme === "") return refuse(`has no scheme: write a URL, such as ${metricsExample}`);
  if (scheme !== "http" && scheme !== "https") {
    return refuse(`has the scheme ${scheme}: write http:// or https://, such as ${metricsExample}`);
  }
  if (text.includes(",")) return refuse(`names several URLs: write one, such as ${metricsExample}`);
  if (text.includes("@")) return refuse(`carries a user name: write only ${metricsExample}`);
  if (rest !== "" && rest !== "/") {
    return refuse(
      `has something behind the address: the pages have fixed paths, write only ${metricsExample}`,
    );
  }
  return { scheme, address: naming("--metrics-addr", () => parseAddress(authority, "127.0.0.1:2381")) };
}

/** The name server in `--dns-server` as `address:port`; undefined when the flag is empty. Throws `CommandLineError`. */
export function nameServerFlag(text: string): string | undefined {
  if (text === "") return undefined;
  const { hostname, port = nameServerPort } = naming("--dns-server", () =>
    parseHostAndPort(text, nameServerExample),
  );
  if (!isIpLiteral(hostname) || port === 0) {
    throw usageError(
      `--dns-server ${quoted(text)}: write the IP address and port of a name server, such as ${nameServerExample}`,
    );
  }
  return formatAddress({ hostname, port });
}

function naming<Result>(flag: string, parse: () => Result): Result {
  try {
    return parse();
  } catch (error) {
    if (error instanceof AddressError) throw usageError(`${flag} ${error.message}`);
    throw error;
  }
}
