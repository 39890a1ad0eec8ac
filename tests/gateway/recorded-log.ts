// A log that a test can read: every line with its level and fields.
import type { Logger } from "../../src/observe/log.ts";

export interface LogLine {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly message: string;
  readonly fields: Record<string, unknown>;
}

export class RecordedLog implements Logger {
  readonly lines: LogLine[] = [];
  readonly debugEnabled = true;
  readonly infoEnabled = true;

  debug(message: string, fields: Record<string, unknown> = {}): void {
    this.lines.push({ level: "debug", message, fields });
  }

  info(message: string, fields: Record<string, unknown> = {}): void {
    this.lines.push({ level: "info", message, fields });
  }

  warn(message: string, fields: Record<string, unknown> = {}): void {
    this.lines.push({ level: "warn", message, fields });
  }

  error(message: string, fields: Record<string, unknown> = {}): void {
    this.lines.push({ level: "error", message, fields });
  }

  child(): Logger {
    return this;
  }

  /** The fields of every line with this message. */
  fieldsOf(message: string): Record<string, unknown>[] {
    return this.lines.filter((line) => line.message === message).map(({ fields }) => fields);
  }

  /** The message of every warning. */
  warnings(): string[] {
    return this.lines.filter(({ level }) => level === "warn").map(({ message }) => message);
  }
}
