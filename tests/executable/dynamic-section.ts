/**
 * What an ELF executable asks of the system's dynamic linker: the libraries it needs, and the versions of their
 * symbols (System V ABI, "Dynamic Linking"; Linux Standard Base, "Symbol Versioning").
 *
 * Reads only the headers and the three sections it needs: the compiled file is 100 MB long. 64-bit little-endian
 * files with a section header table, which is what `bun build --compile` makes on Linux.
 */

const SECTION_DYNAMIC = 6;
const SECTION_GNU_VERNEED = 0x6fff_fffe;
const DYNAMIC_NULL = 0;
const DYNAMIC_NEEDED = 1;

export interface DynamicDependencies {
  /** Names of shared libraries: `libc.so.6`. */
  readonly libraries: readonly string[];
  /** Versions of symbols, each once: `GLIBC_2.17`. */
  readonly symbolVersions: readonly string[];
}

interface Section {
  readonly type: number;
  /** Number of the section that this one refers to, such as its strings. */
  readonly link: number;
  readonly bytes: () => Promise<DataView>;
}

/** Reads the dependencies of the executable at `path`. @throws Error when it is no such file. */
export async function dynamicDependencies(path: string): Promise<DynamicDependencies> {
  const sections = await readSections(path);
  return {
    libraries: await librariesOf(sections),
    symbolVersions: await symbolVersionsOf(sections),
  };
}

async function readSections(path: string): Promise<readonly Section[]> {
  const file = Bun.file(path);
  const view = async (start: number, length: number): Promise<DataView> =>
    new DataView(await file.slice(start, start + length).arrayBuffer());
  const header = await view(0, 64);
  const isElf64 = header.getUint32(0) === 0x7f45_4c46 && header.getUint8(4) === 2 && header.getUint8(5) === 1;
  if (!isElf64) throw new Error(`${path} is no 64-bit little-endian ELF file`);
  const tableStart = Number(header.getBigUint64(0x28, true));
  const entryBytes = header.getUint16(0x3a, true);
  const count = header.getUint16(0x3c, true);
  const table = await view(tableStart, entryBytes * count);
  return Array.from({ length: count }, (_, index) => {
    const at = index * entryBytes;
    const start = Number(table.getBigUint64(at + 0x18, true));
    const length = Number(table.getBigUint64(at + 0x20, true));
    return {
      type: table.getUint32(at + 4, true),
      link: table.getUint32(at + 0x28, true),
      bytes: () => view(start, length),
    };
  });
}

async function sectionWithNames(
  sections: readonly Section[],
  type: number,
): Promise<{ content: DataView; name: (at: number) => string }> {
  const section = sections.find((candidate) => candidate.type === type);
  const strings = section === undefined ? undefined : sections[section.link];
  if (section === undefined || strings === undefined) throw new Error(`no section of type ${type}`);
  const names = await strings.bytes();
  const name = (at: number): string => {
    let end = at;
    while (names.getUint8(end) !== 0) end++;
    return new TextDecoder().decode(new Uint8Array(names.buffer, at, end - at));
  };
  return { content: await section.bytes(), name };
}

async function librariesOf(sections: readonly Section[]): Promise<string[]> {
  const { content, name } = await sectionWithNames(sections, SECTION_DYNAMIC);
  const libraries: string[] = [];
  for (let at = 0; at < content.byteLength; at += 16) {
    const tag = Number(content.getBigInt64(at, true));
    if (tag === DYNAMIC_NULL) break;
    if (tag === DYNAMIC_NEEDED) libraries.push(name(Number(content.getBigUint64(at + 8, true))));
  }
  return libraries;
}

async function symbolVersionsOf(sections: readonly Section[]): Promise<string[]> {
  const { content, name } = await sectionWithNames(sections, SECTION_GNU_VERNEED);
  const versions = new Set<string>();
  // A list of libraries, each with a list of versions; each entry tells how far off the next one is, 0 for the last.
  let libraryAt = 0;
  for (;;) {
    let versionAt = libraryAt + content.getUint32(libraryAt + 8, true);
    for (;;) {
      versions.add(name(content.getUint32(versionAt + 8, true)));
      const next = content.getUint32(versionAt + 12, true);
      if (next === 0) break;
      versionAt += next;
    }
    const next = content.getUint32(libraryAt + 12, true);
    if (next === 0) return [...versions];
    libraryAt += next;
  }
}
