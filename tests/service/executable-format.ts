/**
 * For which system an executable is, out of its own headers: ELF (System V ABI) and Mach-O with its code signature (Apple's
 * loader.h and cs_blobs.h).
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

export interface ExecutableFormat {
  readonly format: "ELF" | "Mach-O";
  readonly machine: "x64" | "arm64";
  /** The dynamic linker that an ELF file names. */
  readonly interpreter?: string;
  /** Of a Mach-O file: whether each page is as its signature says. Apple's processors run nothing else. */
  readonly isSigned?: boolean;
}

const ELF_MACHINES: Readonly<Record<number, "x64" | "arm64">> = { 62: "x64", 183: "arm64" };
const MACH_64 = 0xfeed_facf;
const MACH_ARM64 = 0x0100_000c;
const PROGRAM_INTERPRETER = 3;
const LOAD_CODE_SIGNATURE = 0x1d;
const CODE_DIRECTORY = 0xfade_0c02;
const HASH_SHA256 = 2;

/** @throws Error when it is neither, or is for another machine */
export function executableFormat(path: string): ExecutableFormat {
  const bytes = readFileSync(path);
  if (bytes.readUInt32BE(0) === 0x7f45_4c46) return elf(bytes);
  if (bytes.readUInt32LE(0) === MACH_64 && bytes.readUInt32LE(4) === MACH_ARM64) {
    return { format: "Mach-O", machine: "arm64", isSigned: hasGoodSignature(bytes) };
  }
  throw new Error(`${path} is no executable that is known here`);
}

function elf(bytes: Buffer): ExecutableFormat {
  const machine = ELF_MACHINES[bytes.readUInt16LE(18)];
  if (machine === undefined) throw new Error("an ELF file for another machine");
  const table = Number(bytes.readBigUInt64LE(32));
  const [entryBytes, entries] = [bytes.readUInt16LE(54), bytes.readUInt16LE(56)];
  for (let at = table; at < table + entries * entryBytes; at += entryBytes) {
    if (bytes.readUInt32LE(at) !== PROGRAM_INTERPRETER) continue;
    const start = Number(bytes.readBigUInt64LE(at + 8));
    const interpreter = bytes.toString("latin1", start, bytes.indexOf(0, start));
    return { format: "ELF", machine, interpreter };
  }
  return { format: "ELF", machine };
}

function hasGoodSignature(bytes: Buffer): boolean {
  const commands = bytes.readUInt32LE(16);
  let at = 32;
  for (let command = 0; command < commands; command++) {
    if (bytes.readUInt32LE(at) === LOAD_CODE_SIGNATURE) {
      const start = bytes.readUInt32LE(at + 8);
      return pagesMatch(bytes, bytes.subarray(start, start + bytes.readUInt32LE(at + 12)));
    }
    at += bytes.readUInt32LE(at + 4);
  }
  return false;
}

function pagesMatch(bytes: Buffer, signature: Buffer): boolean {
  const blobs = signature.readUInt32BE(8);
  for (let blob = 0; blob < blobs; blob++) {
    const directory = signature.subarray(signature.readUInt32BE(16 + 8 * blob));
    if (directory.readUInt32BE(0) !== CODE_DIRECTORY || directory[37] !== HASH_SHA256) continue;
    const hashesAt = directory.readUInt32BE(16);
    const pages = directory.readUInt32BE(28);
    const signedBytes = directory.readUInt32BE(32);
    const hashBytes = directory[36]!;
    const pageBytes = 2 ** directory[39]!;
    for (let page = 0; page < pages; page++) {
      const content = bytes.subarray(page * pageBytes, Math.min((page + 1) * pageBytes, signedBytes));
      const at = hashesAt + page * hashBytes;
      const said = directory.subarray(at, at + hashBytes);
      if (!createHash("sha256").update(content).digest().equals(said)) return false;
    }
    return pages > 0;
  }
  return false;
}
