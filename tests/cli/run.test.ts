import { writeFileSync } from "node:fs";
import { describe, expect, test } from "bun:test";
import packageJson from "../../package.json" with { type: "json" };
import { TemporaryFolder } from "../harness/temporary-folder.ts";
import { runToEnd, startEtcdproxy } from "./program.ts";

describe("commands that print and end", () => {
  test("version prints the program's version, its commit, and the runtime, on stdout", async () => {
    const { exitCode, stdout, stderr } = await runToEnd("version");
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(stdout).toMatch(
      /^etcdproxy Version: \d+\.\d+\.\d+\nGit SHA: .+\nBun Version: \d+\.\d+\.\d+\nBun OS\/Arch: \w+\/\w+\n$/,
    );
    expect(stdout).toContain(`etcdproxy Version: ${packageJson.version}\n`);
  });

  test("help that is asked for goes to stdout, with exit status 0", async () => {
    const { exitCode, stdout, stderr } = await runToEnd("gateway", "--help");
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(stdout).toStartWith("Usage: etcdproxy gateway");
  });

  test("without a command, help goes to stderr, with exit status 1", async () => {
    const { exitCode, stdout, stderr } = await runToEnd();
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
    expect(stderr).toStartWith("Usage: etcdproxy <command>");
  });
});

describe("a mistake ends with exit status 1 and one line on stderr", () => {
  test.each([
    [["gatway"], 'etcdproxy: unknown command "gatway": did you mean gateway?'],
    [
      ["gateway", "--endpoint=a"],
      'etcdproxy: unknown flag --endpoint of "gateway": did you mean --endpoints?',
    ],
    [
      ["gateway", "start", "--listen-addr", "foo"],
      'etcdproxy: --listen-addr "foo" has no port: write host:port, such as 127.0.0.1:23790',
    ],
    [
      ["grpc-proxy", "start", "--listen-addr", "foo"],
      'etcdproxy: --listen-addr "foo" has no port: write host:port, such as 127.0.0.1:23790',
    ],
    [
      ["gateway", "--endpoints=ftp://a"],
      'etcdproxy: --endpoints: "ftp://a" has the scheme ftp: write http://, https:// or only host:port',
    ],
    [
      ["grpc-proxy", "start", "--endpoints=ftp://a"],
      'etcdproxy: --endpoints: "ftp://a" has the scheme ftp: write http://, https:// or only host:port',
    ],
    [
      ["gateway", "--dns-server=localhost"],
      'etcdproxy: --dns-server "localhost": write the IP address and port of a name server, such as 10.0.0.2:53',
    ],
    [
      ["gateway", "--dns-server=[::1"],
      'etcdproxy: --dns-server "[::1" is not an address: write host:port, such as 10.0.0.2:53',
    ],
    [
      ["grpc-proxy", "start", "--metrics-addr=127.0.0.1:0"],
      'etcdproxy: --metrics-addr "127.0.0.1:0" has no scheme: write a URL, such as http://127.0.0.1:2381',
    ],
    [
      ["grpc-proxy", "start", "--metrics-addr=https://127.0.0.1:0"],
      "etcdproxy: --metrics-addr https://127.0.0.1:0 needs --cert-file and --key-file, or --auto-tls",
    ],
    [
      ["grpc-proxy", "start", "--experimental-leasing-prefix=a"],
      "not supported yet: --experimental-leasing-prefix",
    ],
  ])("%p", async (words, line) => {
    expect(await runToEnd(...words)).toEqual({ exitCode: 1, stdout: "", stderr: `${line}\n` });
  });

  test.each(["gateway", "grpc-proxy"])("%s: a listen address that is in use", async (command) => {
    const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    try {
      const { exitCode, stdout, stderr } = await runToEnd(
        command,
        "start",
        `--listen-addr=127.0.0.1:${listener.port}`,
      );
      expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
      expect(stderr).toMatch(
        new RegExp(`^etcdproxy: --listen-addr 127\\.0\\.0\\.1:${listener.port}: [^\\n]+\\n$`),
      );
    } finally {
      listener.stop(true);
    }
  });

  test("a password in an endpoint is not repeated", async () => {
    const { exitCode, stderr } = await runToEnd("gateway", "--endpoints=http://root:secret@10.0.0.1:2379");
    expect(exitCode).toBe(1);
    expect(stderr).not.toContain("secret");
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
  });
});

describe("the flags about logging", () => {
  const SERVING = ["--listen-addr=127.0.0.1:0", "--endpoints=127.0.0.1:1"];

  test.each(["gateway", "grpc-proxy"])("%s: lines below --log-level are not written", async (command) => {
    const program = startEtcdproxy(command, ...SERVING, "--discovery-srv=", "--log-level=warn");
    await program.logged("--discovery-srv is empty: the members are those of --endpoints");
    await program.loggedWith(command === "gateway" ? "endpoint fails" : "a member");
    program.kill("SIGTERM");
    const { exitCode, stderr } = await program.ended();
    expect(exitCode).toBe(0);
    expect(stderr).not.toContain('"level":"info"');
  });

  test("--log-format=readable is for people, without colours where it is no terminal", async () => {
    const program = startEtcdproxy("gateway", ...SERVING, "--log-format=readable");
    const ended = program.ended();
    await program.wrote("ready to proxy client requests");
    program.kill("SIGTERM");
    const lines = (await ended).stderr.trimEnd().split("\n");
    expect(lines[0]).toMatch(
      /^\[[\d:.]+\] INFO: \[gateway\] ready to proxy client requests \{"address":"127/,
    );
    for (const line of lines) expect(line).toMatch(/^\P{Cc}*$/u);
  });

  test.each([
    [["--log-level=fatal"], '--log-level "fatal" is unknown: use debug, info, warn, error'],
    [
      ["--debug", "--log-level=error"],
      "--debug and --log-level=error contradict each other: leave one of them out",
    ],
    [["--log-format=jsn"], '--log-format "jsn" is unknown: did you mean json?'],
  ])("%p is refused in one line", async (flags, line) => {
    const stderr = `etcdproxy: ${line}\n`;
    expect(await runToEnd("grpc-proxy", ...SERVING, ...flags)).toEqual({ exitCode: 1, stdout: "", stderr });
  });

  test("a contradiction of a file is refused by its lines, as check-config does", async () => {
    using folder = new TemporaryFolder("logging");
    const file = folder.file("p.yaml");
    writeFileSync(file, "debug: true\nlog-level: error\n");
    const words = ["grpc-proxy", ...SERVING, `--config-file=${file}`];
    const { exitCode, stderr } = await runToEnd(...words);
    expect(exitCode).toBe(1);
    expect(stderr).toStartWith(`etcdproxy: ${file}:1: debug and log-level=error (${file}:2) contradict`);
    expect((await runToEnd("check-config", ...words)).stderr).toBe(stderr);
  });
});

describe("a product", () => {
  test.each(["gateway", "grpc-proxy"])(
    "%s without files says on SIGHUP that there is none to read",
    async (command) => {
      const program = startEtcdproxy(command, "--listen-addr=127.0.0.1:0", "--endpoints=127.0.0.1:1");
      await program.logged(command === "gateway" ? "ready to proxy client requests" : "started gRPC proxy");
      program.kill("SIGHUP");
      await program.logged("SIGHUP: there is no file to read anew");
      program.kill("SIGTERM");
      expect((await program.ended()).exitCode).toBe(0);
    },
  );

  const readyLines = [
    ["gateway", "ready to proxy client requests"],
    ["grpc-proxy", "started gRPC proxy"],
  ] as const;

  test.each(readyLines)(
    "%s logs that it is ready, with the address that clients can connect to",
    async (command, message) => {
      const program = startEtcdproxy(
        command,
        "start",
        "--listen-addr=127.0.0.1:0",
        "--endpoints=127.0.0.1:1",
      );
      const ready = await program.logged(message);
      expect(Object.keys(ready).slice(0, 4)).toEqual(["level", "ts", "caller", "msg"]);
      expect(ready).toMatchObject({ level: "info", caller: command });
      const [hostname, port] = String(ready["address"]).split(":");
      expect(hostname).toBe("127.0.0.1");
      const client = await Bun.connect({ hostname: "127.0.0.1", port: Number(port), socket: { data() {} } });
      client.terminate();
      program.kill("SIGTERM");
      expect((await program.ended()).exitCode).toBe(0);
    },
  );

  test("the gateway's ready line has its endpoints", async () => {
    const program = startEtcdproxy(
      "gateway",
      "--listen-addr=127.0.0.1:0",
      "--endpoints=10.0.1.10,http://10.0.1.11:1",
    );
    const ready = await program.logged("ready to proxy client requests");
    expect(ready["endpoints"]).toEqual(["10.0.1.10:2379", "10.0.1.11:1"]);
    program.kill("SIGTERM");
    expect((await program.ended()).exitCode).toBe(0);
  });

  for (const [command, message] of readyLines) {
    test.each(["SIGTERM", "SIGINT"] as const)(
      `${command} stops on %s with exit status 0, and says so`,
      async (signal) => {
        const program = startEtcdproxy(command, "--listen-addr=127.0.0.1:0", "start");
        await program.logged(message);
        program.kill(signal);
        const { exitCode, stdout, stderr } = await program.ended();
        expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: "" });
        const messages = stderr
          .trimEnd()
          .split("\n")
          .map((line) => (JSON.parse(line) as { msg: string }).msg)
          .filter((said) => !/^(a member|endpoint) /.test(said)); // Nobody is there; when that shows is chance.
        expect(messages.slice(-2)).toEqual(["stopping", "stopped"]);
      },
    );
  }
});
