/**
 * The file behind `--config-file`: YAML whose keys are the names of flags. Keys at the top are for the product that is
 * started; those below `gateway:` and `grpc-proxy:` are for that one only, and go before those at the top.
 * Stands between the YAML library, which tells where each node stands, and the values of a product.
 *
 * Invariant: the whole file is judged, sections of the other product too; nothing in it is guessed: no alias, tag or second
 * document, no number for a text, no key twice. Every error tells the file and the line.
 */
import {
  type ErrorCode,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Pair,
  parseDocument,
  Scalar,
  type YAMLMap,
} from "yaml";
import { OperatorFileError, readOperatorFile } from "../base/operator-file.ts";
import { isProductName, PRODUCT_NAMES, type ProductName, productTables } from "./commands.ts";
import { CommandLineError, quoted, usageError } from "./command-line-error.ts";
import type { FlagDefinition, FlagValue } from "./flag-definition.ts";
import { parseFlagValue } from "./flag-value.ts";
import { suggestName } from "./suggestion.ts";
import { type GivenValue, namedByOrigin, type ValueOrigin } from "./value-origin.ts";

/** Many times what all flags of both products take, with comments. */
const FILE_BYTES_MAX = 256 * 1024;

/**
 * The values that the file has for flags of `product`, by their names.
 *
 * @param origin where the path comes from, for errors about the file itself
 * @throws CommandLineError
 */
export function readConfigFile(
  product: ProductName,
  path: string,
  origin: ValueOrigin,
): ReadonlyMap<string, GivenValue> {
  return new ConfigFile(path, readText(path, origin)).values(product);
}

function readText(path: string, origin: ValueOrigin): string {
  const named = `${namedByOrigin("config-file", origin)} ${quoted(path)}`;
  let bytes: Uint8Array;
  try {
    bytes = readOperatorFile(path, FILE_BYTES_MAX);
  } catch (error) {
    if (!(error instanceof OperatorFileError)) throw error;
    throw usageError(`${named}: ${error.message}`);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw usageError(`${named}: this is not UTF-8 text`);
  }
}

/** Mistakes that are easily made. The library's words for them would repeat what is in the file. */
const PROBLEMS: Readonly<Partial<Record<ErrorCode, string>>> = {
  BAD_ALIAS: "text that begins with * has to be in quotes",
  BAD_DIRECTIVE: "text that begins with % has to be in quotes",
  BAD_DQ_ESCAPE: "there is a backslash in double quotes that stands for nothing: write two, or single quotes",
  BAD_INDENT: "this is not indented as what it belongs to, or a bracket is not closed",
  BAD_SCALAR_START: "text that begins with this character has to be in quotes",
  BLOCK_AS_IMPLICIT_KEY: "a colon and a space are in the value: write it in quotes",
  MISSING_CHAR: "a closing bracket or quote is missing",
  MULTIPLE_DOCS: "a second document begins here: write one",
  TAB_AS_INDENT: "a tab indents this line: use spaces",
  TAG_RESOLVE_FAILED: "text that begins with ! has to be in quotes",
};

class ConfigFile {
  readonly #path: string;
  readonly #lines = new LineCounter();
  readonly #top: YAMLMap | null;

  constructor(path: string, text: string) {
    this.#path = path;
    this.#top = this.#parse(text);
  }

  values(product: ProductName): ReadonlyMap<string, GivenValue> {
    const atTop = new Map<string, GivenValue>();
    const inSection = new Map<string, GivenValue>();
    for (const [key, pair] of this.#entries(this.#top)) {
      if (isProductName(key)) {
        const section = this.#section(key, pair);
        if (key === product) for (const [name, value] of section) inSection.set(name, value);
        continue;
      }
      const flag = productTables[product].find(({ name }) => name === key);
      if (flag === undefined) throw this.#unknownKey(key, pair, product, true);
      atTop.set(key, this.#value(flag, pair));
    }
    return new Map([...atTop, ...inSection]);
  }

  #parse(text: string): YAMLMap | null {
    // What is wrong is told in our words, and where: the library's own would repeat what is in the file.
    const document = readWhole(() =>
      parseDocument(text, {
        lineCounter: this.#lines,
        prettyErrors: false,
        uniqueKeys: false,
        version: "1.2",
        // "silent" would let a second document pass.
        logLevel: "error",
      }),
    );
    if (document === undefined) throw usageError(`${this.#path}: this is nested too deeply`);
    const [problem] = [...document.errors, ...document.warnings];
    if (problem !== undefined) {
      throw this.#error(problem.pos[0], PROBLEMS[problem.code] ?? "this is not YAML");
    }
    const top = document.contents;
    if (top === null || (isScalar(top) && top.value === null)) return null;
    if (!isMap(top))
      throw this.#error(top.range[0], "keys and values are expected, such as listen-addr: :23790");
    return top;
  }

  /** The pairs of a map under their keys, none of which is there twice. */
  *#entries(map: YAMLMap | null): Iterable<[string, Pair]> {
    const lineOf = new Map<string, number>();
    for (const pair of map?.items ?? []) {
      const { key } = pair;
      if (!isScalar(key) || typeof key.value !== "string" || key.tag !== undefined)
        throw this.#errorAt(key, "a key is expected that is the name of a flag");
      const earlier = lineOf.get(key.value);
      if (earlier !== undefined)
        throw this.#errorAt(key, `${shown(key.value)} stands on line ${earlier} already: write it once`);
      lineOf.set(key.value, this.#lineOf(key));
      yield [key.value, pair];
    }
  }

  #section(product: ProductName, { key, value }: Pair): ReadonlyMap<string, GivenValue> {
    if (isScalar(value) && value.value === null && value.tag === undefined) return new Map();
    if (!isMap(value))
      throw this.#errorAt(key, `${product} is a section: write flags of ${product} below it, indented`);
    const values = new Map<string, GivenValue>();
    for (const [name, pair] of this.#entries(value)) {
      const flag = productTables[product].find((candidate) => candidate.name === name);
      if (flag === undefined) throw this.#unknownKey(name, pair, product, false);
      values.set(name, this.#value(flag, pair));
    }
    return values;
  }

  #unknownKey(key: string, pair: Pair, product: ProductName, atTop: boolean): CommandLineError {
    const other = PRODUCT_NAMES.find((name) => productTables[name].some((flag) => flag.name === key));
    if (other !== undefined) {
      const advice = atTop ? `write it below ${other}:, indented` : `not of ${product}`;
      return this.#errorAt(pair.key, `${key} is a flag of ${other} only: ${advice}`);
    }
    const names = [...productTables[product].map(({ name }) => name), ...(atTop ? PRODUCT_NAMES : [])];
    const suggestion = suggestName(key.replace(/^-+/, ""), names);
    const advice =
      suggestion === undefined ? `see etcdproxy ${product} --help` : `did you mean ${suggestion}?`;
    return this.#errorAt(pair.key, `unknown key ${shown(key)}: ${advice}`);
  }

  #value(flag: FlagDefinition, { key, value }: Pair): GivenValue {
    const origin: ValueOrigin = { from: "file", path: this.#path, line: this.#lineOf(key) };
    const named = namedByOrigin(flag.name, origin);
    if (flag.since === "later") throw new CommandLineError(`not supported yet: ${named}`);
    if (flag.name === "config-file")
      throw usageError(`${named}: a configuration file cannot name another one`);
    return { value: this.#typedValue(flag, value, named), origin };
  }

  #typedValue(flag: FlagDefinition, node: unknown, named: string): FlagValue {
    if (flag.kind === "list" && isSeq(node) && node.tag === undefined) {
      let items: readonly string[] = [];
      for (const item of node.items)
        items = parseFlagValue(flag, this.#scalarText(flag, item, named), items, named) as readonly string[];
      return items;
    }
    return parseFlagValue(flag, this.#scalarText(flag, node, named), [], named);
  }

  /** The text of a scalar of the type that the flag takes. It is not repeated: it may be an endpoint with a password. */
  #scalarText(flag: FlagDefinition, node: unknown, named: string): string {
    const refuse = (problem: string): never => {
      throw usageError(`${named}: ${problem}`);
    };
    if (isAlias(node)) return refuse("text that begins with * has to be in quotes: aliases are not followed");
    if (isMap(node) || isSeq(node))
      return refuse(
        flag.kind === "list" ? "a list of texts is expected" : "one value is expected, and this is several",
      );
    if (!isScalar(node) || node.tag !== undefined) return refuse("a value without a tag is expected");
    const { value, source = "", type } = node;
    if (value === null) return refuse('there is no value: write one, or "" for an empty text');
    const plain = type === Scalar.PLAIN;
    switch (flag.kind) {
      case "text":
      case "list":
        if (typeof value === "string") return value;
        return refuse(`text is expected, and this is a ${typeof value}: write it in quotes`);
      case "boolean":
        if (typeof value === "boolean") return String(value);
        return refuse(`true or false is expected${plain ? "" : ", without quotes"}`);
      case "duration":
        return typeof value === "string" ? value : source;
      case "integer":
        if (typeof value === "string" && !plain) return refuse("a number is expected, without quotes");
        return typeof value === "string" ? value : source;
    }
  }

  #lineOf(node: unknown): number {
    return this.#lines.linePos(offsetOf(node)).line;
  }

  #errorAt(node: unknown, problem: string): CommandLineError {
    return this.#error(offsetOf(node), problem);
  }

  #error(offset: number, problem: string): CommandLineError {
    const { line, col } = this.#lines.linePos(offset);
    return usageError(`${this.#path}:${line}:${col}: ${problem}`);
  }
}

/** Undefined where the text is nested too deeply to be read. */
function readWhole<Result>(parse: () => Result): Result | undefined {
  try {
    return parse();
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function offsetOf(node: unknown): number {
  const range = (node as { range?: readonly number[] | null } | null)?.range;
  return range?.[0] ?? 0;
}

function shown(key: string): string {
  return /^[\w.-]+$/.test(key) ? key : quoted(key);
}
