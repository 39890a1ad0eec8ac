/**
 * A program of ours as a process of its own, for tests that look at exit status, stdout, stderr and signals.
 * Stands between a test and Bun.spawn; the environment is empty, and a process that a test leaves behind is ended.
 */
import { afterEach } from "bun:test";
import { fileURLToPath } from "node:url";

const mainFile = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

/** What a process did from start to end. */
export interface Outcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A process that runs. */
export interface Program {
  kill(signal: "SIGTERM" | "SIGINT" | "SIGHUP"): void;
  /** Resolves with the first log line of this message, fields and all; rejects when the process ends without one. */
  logged(message: string): Promise<Record<string, unknown>>;
  /** The same for a message that begins like this. */
  loggedWith(start: string): Promise<Record<string, unknown>>;
  /** Resolves once this text is on stderr; rejects when the process ends without it. */
  wrote(text: string): Promise<void>;
  /** Everything written, once the process has ended. */
  ended(): Promise<Outcome>;
}

const running = new Set<Bun.Subprocess>();

afterEach(() => {
  for (const child of running) child.kill("SIGKILL");
  running.clear();
});

/** Runs `etcdproxy` with these words to its end. */
export async function runToEnd(...words: string[]): Promise<Outcome> {
  return await startProgram(mainFile, ...words).ended();
}

/** Starts `etcdproxy` with these words. */
export function startEtcdproxy(...words: string[]): Program {
  return startProgram(mainFile, ...words);
}

/** Starts a TypeScript file. */
export function startProgram(file: string, ...words: string[]): Program {
  const child = Bun.spawn([process.execPath, file, ...words], {
    env: {},
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  running.add(child);
  const stdout = new Response(child.stdout).text();
  let stderrText = "";
  let stderrEnded = false;
  let changed = Promise.withResolvers<void>();
  const stderr = (async () => {
    const decoder = new TextDecoder();
    for await (const chunk of child.stderr) {
      stderrText += decoder.decode(chunk, { stream: true });
      changed.resolve();
      changed = Promise.withResolvers<void>();
    }
    stderrEnded = true;
    changed.resolve();
  })();

  const textWith = async (text: string): Promise<string> => {
    for (;;) {
      const line = stderrText
        .split("\n")
        .slice(0, -1)
        .find((candidate) => candidate.includes(text));
      if (line !== undefined) return line;
      if (stderrEnded) throw new Error(`the process ended without logging ${text}: ${stderrText}`);
      await changed.promise;
    }
  };

  const lineWith = async (text: string): Promise<Record<string, unknown>> =>
    JSON.parse(await textWith(text)) as Record<string, unknown>;

  return {
    kill(signal) {
      child.kill(signal);
    },
    logged: (message) => lineWith(`"msg":${JSON.stringify(message)}`),
    loggedWith: (start) => lineWith(`"msg":${JSON.stringify(start).slice(0, -1)}`),
    async wrote(text) {
      await textWith(text);
    },
    async ended() {
      const [exitCode] = await Promise.all([child.exited, stderr]);
      running.delete(child);
      return { exitCode, stdout: await stdout, stderr: stderrText };
    },
  };
}
