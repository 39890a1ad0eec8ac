/**
 * Flags that hold an address: `--listen-addr` and `--dns-server`.
 * Stands between their text and the parsed address; an error names the flag.
 */
import {
  type Address,
  AddressError,
  formatAddress,
  isIpLiteral,
  parseAddress,
  parseHostAndPort,
} from "../net/address.ts";
import { quoted, usageError } from "./command-line-error.ts";

const nameServerPort = 53;
const nameServerExample = "10.0.0.2:53";

/** The address in `--listen-addr`. Throws `CommandLineError`. */
export function listenAddressFlag(text: string): Address {
  return naming("--listen-addr", () => parseAddress(text));
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
