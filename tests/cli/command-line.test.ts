import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Invocation, parseCommandLine } from "../../src/cli/command-line.ts";
import { CommandLineError } from "../../src/cli/command-line-error.ts";
import type { GatewayFlags } from "../../src/cli/gateway-flags.ts";
import { grpcProxyFlags } from "../../src/cli/grpc-proxy-flags.ts";
import type { GrpcProxyFlags } from "../../src/cli/grpc-proxy-flags.ts";

const gatewayDefaults: GatewayFlags = {
  listenAddr: "127.0.0.1:23790",
  endpoints: ["127.0.0.1:2379"],
  retryDelayMs: 60_000,
  dialTimeoutMs: 3_000,
  balancer: "sticky",
  endpointWeights: [],
  healthCheckIntervalMs: 1_000,
  healthCheckTimeoutMs: 1_000,
  discoverySrv: "",
  discoverySrvName: "",
  insecureDiscovery: false,
  discoveryRefreshMs: 30_000,
  dnsServer: "",
  trustedCaFile: "",
  maxConnections: 65_536,
  drainTimeoutMs: 30_000,
  idleTimeoutMs: 0,
  tcpKeepaliveMs: 15_000,
  metricsAddr: "",
  configFile: "",
  workers: 1,
  logLevel: "info",
  logFormat: "auto",
  debug: false,
};

const grpcProxyDefaults: GrpcProxyFlags = {
  listenAddr: "127.0.0.1:23790",
  advertiseClientUrl: "127.0.0.1:23790",
  resolverPrefix: "",
  resolverTtl: 0,
  endpoints: ["127.0.0.1:2379"],
  dialTimeoutMs: 3_000,
  balancer: "sticky",
  endpointWeights: [],
  healthCheckIntervalMs: 1_000,
  healthCheckTimeoutMs: 1_000,
  dialKeepaliveTimeMs: 0,
  dialKeepaliveTimeoutMs: 20_000,
  permitWithoutStream: false,
  grpcKeepaliveMinTimeMs: 5_000,
  grpcKeepaliveIntervalMs: 7_200_000,
  grpcKeepaliveTimeoutMs: 20_000,
  drainTimeoutMs: 30_000,
  endpointsAutoSyncIntervalMs: 0,
  discoverySrv: "",
  discoverySrvName: "",
  insecureDiscovery: false,
  discoveryRefreshMs: 30_000,
  dnsServer: "",
  namespace: "",
  namespaceStrict: false,
  readCoalescing: true,
  cache: true,
  cacheMaxAgeMs: 1000,
  cacheMaxBytes: 67_108_864,
  cacheMaxEntries: 2048,
  watchCoalescing: true,
  leaseCoalescing: true,
  maxSendBytes: 1_572_864,
  maxRecvBytes: 2_147_483_647,
  maxConcurrentStreams: 4_294_967_295,
  maxConnections: 65_536,
  maxBufferBytes: 536_870_912,
  cert: "",
  key: "",
  cacert: "",
  insecureSkipTlsVerify: false,
  certFile: "",
  keyFile: "",
  trustedCaFile: "",
  clientCrlFile: "",
  autoTls: false,
  selfSignedCertValidity: 1,
  dataDir: "default.proxy",
  listenCipherSuites: [],
  tlsMinVersion: "TLS1.2",
  tlsMaxVersion: "",
  metricsAddr: "",
  enablePprof: false,
  configFile: "",
  user: "",
  passwordFile: "",
  workers: 1,
  logLevel: "info",
  logFormat: "auto",
  debug: false,
  experimentalEnableGrpcLogging: false,
  grpcLoggingValues: false,
};

function gateway(line: string): GatewayFlags {
  const invocation = parseLine(`gateway ${line}`);
  if (invocation.command !== "gateway") throw new Error(`read as ${invocation.command}`);
  return invocation.flags;
}

function grpcProxy(line: string): GrpcProxyFlags {
  const invocation = parseLine(`grpc-proxy ${line}`);
  if (invocation.command !== "grpc-proxy") throw new Error(`read as ${invocation.command}`);
  return invocation.flags;
}

function parseLine(line: string): Invocation {
  return parseCommandLine(line.split(" ").filter((word) => word !== ""));
}

function errorLine(words: readonly string[]): string {
  try {
    parseCommandLine(words);
  } catch (error) {
    if (error instanceof CommandLineError) return error.line;
    throw error;
  }
  throw new Error(`accepted: ${words.join(" ")}`);
}

describe("the command", () => {
  test.each(["", "start"])("gateway %s starts the gateway with every default", (line) => {
    expect(gateway(line)).toEqual(gatewayDefaults);
  });

  test.each(["", "start"])("grpc-proxy %s starts the grpc-proxy with every default", (line) => {
    expect(grpcProxy(line)).toEqual(grpcProxyDefaults);
  });

  test.each([
    "start --endpoints=a,b --debug",
    "--endpoints=a,b start --debug",
    "--endpoints=a,b --debug start",
    "--debug start --endpoints=a,b",
    "--endpoints=a,b --debug",
    "--endpoints a,b --debug -- start",
  ])("start may stand anywhere or be absent: gateway %s", (line) => {
    expect(gateway(line)).toEqual({ ...gatewayDefaults, endpoints: ["a", "b"], debug: true });
  });

  test.each(["version", "--version"])("%s asks for the version", (line) => {
    expect(parseLine(line)).toEqual({ command: "version" });
  });
});

describe("check-config", () => {
  test("has a product behind it, with everything that starts it", () => {
    const product = parseLine("grpc-proxy start --listen-addr=:1 --debug");
    expect(parseLine("check-config grpc-proxy start --listen-addr=:1 --debug")).toEqual({
      command: "check-config",
      product,
    } as Invocation);
  });

  test.each([
    ["check-config", ""],
    ["check-config --config-file=a gateway", ""],
    ["check-config proxy", ', not "proxy"'],
  ])("%s is refused", (line, found) => {
    expect(errorLine(line.split(" "))).toBe(
      `etcdproxy: check-config takes a product first, then its flags: gateway or grpc-proxy${found}`,
    );
  });

  test("of a wrong flag is an error as at the start, and --help is the product's", () => {
    expect(errorLine(["check-config", "gateway", "--namespace=a"])).toBe(
      errorLine(["gateway", "--namespace=a"]),
    );
    expect(parseLine("check-config gateway --help")).toEqual(parseLine("gateway --help"));
  });
});

describe("completion and man", () => {
  test.each(["bash", "zsh", "fish"] as const)("completion %s", (shell) => {
    expect(parseLine(`completion ${shell}`)).toEqual({ command: "completion", shell });
  });

  test.each([
    ["completion", "completion takes the name of a shell: bash, zsh, fish"],
    ["completion csh", 'completion takes one shell, bash, zsh, fish, not "csh"'],
    ["completion bash zsh", 'completion takes one shell, bash, zsh, fish, not "bash zsh"'],
    ["man 1", 'unexpected argument "1" of "man", which takes none'],
    ["man --html", 'unknown flag --html of "man": see etcdproxy man --help'],
  ])("%s is refused", (line, expected) => {
    expect(errorLine(line.split(" "))).toBe(`etcdproxy: ${expected}`);
  });

  test("man", () => {
    expect(parseLine("man")).toEqual({ command: "man" });
  });
});

describe("flags", () => {
  test("that were given are told from those that have their defaults", () => {
    const invocation = parseLine("gateway --debug=false --endpoints=a --endpoints=b start");
    expect("given" in invocation && [...invocation.given].toSorted()).toEqual(["debug", "endpoints"]);
  });

  test("--name=value and --name value are the same", () => {
    expect(gateway("--listen-addr=:1 --retry-delay=1m30s")).toEqual(
      gateway("--listen-addr :1 --retry-delay 1m30s"),
    );
    expect(gateway("--listen-addr :1").listenAddr).toBe(":1");
    expect(gateway("--retry-delay 1m30s").retryDelayMs).toBe(90_000);
  });

  test("a value may hold equals signs, begin with dashes, or be empty", () => {
    expect(gateway("--listen-addr=a=b").listenAddr).toBe("a=b");
    expect(gateway("--listen-addr --debug")).toEqual({ ...gatewayDefaults, listenAddr: "--debug" });
    expect(grpcProxy("start --advertise-client-url=").advertiseClientUrl).toBe("");
    const withEmptyWord = parseCommandLine(["grpc-proxy", "--advertise-client-url", "", "start"]);
    expect(withEmptyWord).toEqual({
      command: "grpc-proxy",
      flags: { ...grpcProxyDefaults, advertiseClientUrl: "" },
      given: new Set(["advertise-client-url"]),
    });
  });

  test("a boolean never takes the next word", () => {
    expect(gateway("--debug start").debug).toBe(true);
    expect(gateway("--debug=false start").debug).toBe(false);
    expect(gateway("--debug --insecure-discovery")).toEqual({
      ...gatewayDefaults,
      debug: true,
      insecureDiscovery: true,
    });
    expect(errorLine(["gateway", "--debug", "false"])).toBe(
      'etcdproxy: unknown command "false" of "gateway": use etcdproxy gateway start',
    );
  });

  test.each(["true", "1", "t", "T", "TRUE"])("--debug=%s switches it on", (value) => {
    expect(gateway(`--debug=${value}`).debug).toBe(true);
  });

  test.each(["false", "0", "f", "F", "FALSE"])("--debug=%s switches it off", (value) => {
    expect(gateway(`--debug --debug=${value}`).debug).toBe(false);
  });

  test("lists are comma-separated and repeatable; the first one replaces the default", () => {
    expect(gateway("--endpoints=a,b --endpoints c start --endpoints=d").endpoints).toEqual([
      "a",
      "b",
      "c",
      "d",
    ]);
  });

  test("the last of a repeated single value counts", () => {
    expect(gateway("--listen-addr=:1 --listen-addr=:2").listenAddr).toBe(":2");
  });

  test("numbers reach up to their limits", () => {
    expect(
      grpcProxy("--max-concurrent-streams=4294967295 --max-recv-bytes=2147483647 --max-connections=0"),
    ).toEqual({
      ...grpcProxyDefaults,
      maxConnections: 0,
    });
  });

  test("one reading leaves nothing behind for the next", () => {
    expect(gateway("--endpoints=a --debug").endpoints).toEqual(["a"]);
    expect(gateway("")).toEqual(gatewayDefaults);
  });
});

describe("a flag whose feature comes later", () => {
  const later = grpcProxyFlags.filter(({ since }) => since === "later");

  test.each(later.map(({ name }) => name))("grpc-proxy --%s is refused", (name) => {
    expect(errorLine(["grpc-proxy", "start", `--${name}=x`])).toBe(`not supported yet: --${name}`);
    expect(errorLine(["grpc-proxy", `--${name}`, "x", "start"])).toBe(`not supported yet: --${name}`);
  });

  test("is refused with its default value, too", () => {
    expect(errorLine(["grpc-proxy", "start", "--experimental-leasing-prefix="])).toBe(
      "not supported yet: --experimental-leasing-prefix",
    );
    expect(errorLine(["grpc-proxy", "start", "--experimental-serializable-ordering=false"])).toBe(
      "not supported yet: --experimental-serializable-ordering",
    );
  });
});

describe("a mistake is told in one line that names it", () => {
  test.each([
    ["gatewya", 'unknown command "gatewya": did you mean gateway?'],
    ["grpcproxy start", 'unknown command "grpcproxy": did you mean grpc-proxy?'],
    [
      "proxy",
      'unknown command "proxy": use gateway, grpc-proxy, check-config, completion, man, version, help',
    ],
    [
      "constructor",
      'unknown command "constructor": use gateway, grpc-proxy, check-config, completion, man, version, help',
    ],
    [
      "help proxy",
      'unknown command "proxy": use gateway, grpc-proxy, check-config, completion, man, version, help',
    ],
    ["gateway stop", 'unknown command "stop" of "gateway": use etcdproxy gateway start'],
    [
      "grpc-proxy start now",
      'unexpected argument "now" of "grpc-proxy start": values follow a flag, lists are comma-separated',
    ],
    ["gateway --endpoints=a, b", "--endpoints: an item of the list is empty: write it, or drop the comma"],
    [
      "gateway start start",
      'unexpected argument "start" of "gateway start": values follow a flag, lists are comma-separated',
    ],
    ["gateway --endpoint=a", 'unknown flag --endpoint of "gateway": did you mean --endpoints?'],
    ["gateway -endpoints=a", 'unknown flag -endpoints of "gateway": did you mean --endpoints?'],
    ["gateway --listen_addr :1", 'unknown flag --listen_addr of "gateway": did you mean --listen-addr?'],
    [
      "gateway --max-send-bytes=1",
      'unknown flag --max-send-bytes of "gateway": see etcdproxy gateway --help',
    ],
    ["grpc-proxy -d", 'unknown flag -d of "grpc-proxy": see etcdproxy grpc-proxy --help'],
    ["grpc-proxy --no-debug", 'unknown flag --no-debug of "grpc-proxy": see etcdproxy grpc-proxy --help'],
    ["version --json", 'unknown flag --json of "version": see etcdproxy version --help'],
    ["gateway --listen-addr", '--listen-addr of "gateway" needs a value: --listen-addr=<host:port>'],
    [
      "gateway start --retry-delay=soon",
      '--retry-delay "soon": not a duration: write it like 1m30s, 500ms or 2h',
    ],
    ["gateway --debug=maybe", '--debug "maybe": write --debug, --debug=true or --debug=false'],
    [
      "grpc-proxy --max-concurrent-streams=-1",
      '--max-concurrent-streams "-1": out of range: use 0 to 4294967295',
    ],
    [
      "grpc-proxy --max-concurrent-streams 4294967296",
      '--max-concurrent-streams "4294967296": out of range: use 0 to 4294967295',
    ],
    [
      "grpc-proxy --max-send-bytes=1.5MiB",
      '--max-send-bytes "1.5MiB": not a whole number: use 1 to 2147483647',
    ],
    ["grpc-proxy --dial-timeout=0", '--dial-timeout "0": out of range: use 1ms to 596h31m23s647ms'],
  ])("etcdproxy %s", (line, expected) => {
    expect(errorLine(line.split(" "))).toBe(`etcdproxy: ${expected}`);
  });

  test("a flag before the command is named without its value", () => {
    expect(errorLine(["--endpoints=http://root:secret@a", "gateway"])).toBe(
      'etcdproxy: flag "--endpoints" stands before the command: write gateway or grpc-proxy first, then its flags',
    );
  });

  test("version takes no arguments", () => {
    expect(errorLine(["version", "please"])).toBe(
      'etcdproxy: unexpected argument "please" of "version", which takes none',
    );
  });

  test("whatever the words are, the outcome is an invocation or one line", () => {
    const word = fc.oneof(
      fc.constantFrom(
        "gateway",
        "grpc-proxy",
        "start",
        "version",
        "help",
        "--help",
        "-h",
        "--",
        "-",
        "--debug",
        "--debug=false",
      ),
      fc.constantFrom(
        "--endpoints",
        "--endpoints=a",
        "--retry-delay",
        "1s",
        "--max-send-bytes",
        "--experimental-leasing-prefix",
        "__proto__",
        "--__proto__=1",
      ),
      fc.string(),
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 6 }), (words) => {
        let line = "";
        try {
          parseCommandLine(words);
        } catch (error) {
          expect(error).toBeInstanceOf(CommandLineError);
          line = (error as CommandLineError).line;
          expect(line).not.toBe("");
        }
        expect(line).not.toMatch(/[\r\n]/);
      }),
    );
  });
});
