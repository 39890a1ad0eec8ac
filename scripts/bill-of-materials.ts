/**
 * The software that is inside the executable, as a CycloneDX bill of materials: Bun, and each package that is a dependency of a
 * dependency of package.json, as bun.lock has them.
 *
 * The same commit gives the same bill: its time is the commit's, its number is made of what it lists.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { dependencies, description, devDependencies, license, name, version } from "../package.json";

export interface LockedPackage {
  readonly name: string;
  readonly version: string;
  /** Of the package as the registry has it: `sha512-` and base64. */
  readonly integrity: string;
  readonly dependencies: readonly string[];
}

/** The packages of bun.lock by their place: `a`, or `b/a` where b has a version of its own of a. */
export type Lock = ReadonlyMap<string, LockedPackage>;

interface LockText {
  readonly packages: Readonly<Record<string, readonly [string, string, LockFields, string]>>;
}
interface LockFields {
  readonly dependencies?: Readonly<Record<string, string>>;
}

export async function readLock(): Promise<Lock> {
  const { packages } = Bun.JSONC.parse(await Bun.file("bun.lock").text()) as LockText;
  return new Map(
    Object.entries(packages).map(([place, [spec, , fields, integrity]]) => {
      const at = spec.lastIndexOf("@");
      return [
        place,
        {
          name: spec.slice(0, at),
          version: spec.slice(at + 1),
          integrity,
          dependencies: Object.keys(fields.dependencies ?? {}),
        },
      ];
    }),
  );
}

/** Where the package at `place` finds its dependency: beside itself, else further up. */
function placeOf(lock: Lock, dependency: string, place: string): string {
  const own = `${place}/${dependency}`;
  if (place !== "" && lock.has(own)) return own;
  if (lock.has(dependency)) return dependency;
  throw new Error(`bun.lock has no ${dependency}, which ${place === "" ? "package.json" : place} needs`);
}

/** The packages that the product needs, by their place. */
function needed(lock: Lock): Map<string, LockedPackage> {
  const found = new Map<string, LockedPackage>();
  const visit = (place: string): void => {
    const locked = lock.get(place)!;
    if (found.has(place)) return;
    found.set(place, locked);
    for (const dependency of locked.dependencies) visit(placeOf(lock, dependency, place));
  };
  for (const dependency of Object.keys(dependencies)) visit(placeOf(lock, dependency, ""));
  return found;
}

function packageUrl({ name, version }: Pick<LockedPackage, "name" | "version">): string {
  return `pkg:npm/${name.replace("@", "%40")}@${version}`;
}

async function licenseOf(place: string): Promise<string | undefined> {
  const folders = place.replaceAll(/(?<!\/?@[^/]*)\//g, "/node_modules/");
  const manifest: unknown = await Bun.file(join("node_modules", folders, "package.json")).json();
  const { license } = manifest as { license?: unknown };
  return typeof license === "string" ? license : undefined;
}

async function component(place: string, locked: LockedPackage): Promise<Record<string, unknown>> {
  const license = await licenseOf(place);
  return {
    type: "library",
    "bom-ref": packageUrl(locked),
    name: locked.name,
    version: locked.version,
    purl: packageUrl(locked),
    ...hashesOf(locked),
    ...(license === undefined ? {} : { licenses: [{ expression: license }] }),
  };
}

function hashesOf({ integrity }: LockedPackage): Record<string, unknown> {
  const content = Buffer.from(integrity.replace("sha512-", ""), "base64").toString("hex");
  return { hashes: [{ alg: "SHA-512", content }] };
}

/** The bill, as CycloneDX 1.6 in JSON. @param when the time that it carries */
export async function billOfMaterials(lock: Lock, when: Date): Promise<Record<string, unknown>> {
  const packages = [...needed(lock)].sort(([left], [right]) => (left < right ? -1 : 1));
  const own = { type: "application", name, version, description, "bom-ref": `${name}@${version}` };
  const bun = { name: "bun", version: devDependencies.bun };
  const runtime = lock.get("bun")!;
  const components = await Promise.all(packages.map(([place, locked]) => component(place, locked)));
  const refs = (dependencies: readonly string[], place: string): string[] =>
    [...new Set(dependencies.map((each) => packageUrl(lock.get(placeOf(lock, each, place))!)))].sort();
  const content = {
    components: [
      {
        type: "platform",
        "bom-ref": packageUrl(bun),
        ...bun,
        purl: packageUrl(bun),
        ...hashesOf(runtime),
        licenses: [{ expression: "MIT" }],
      },
      ...components,
    ],
    dependencies: [
      { ref: own["bom-ref"], dependsOn: [packageUrl(bun), ...refs(Object.keys(dependencies), "")] },
      ...packages.map(([place, locked]) => ({
        ref: packageUrl(locked),
        dependsOn: refs(locked.dependencies, place),
      })),
    ],
  };
  return {
    $schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    serialNumber: `urn:uuid:${uuidOf(JSON.stringify(content))}`,
    version: 1,
    metadata: { timestamp: when.toISOString(), component: { ...own, licenses: [{ expression: license }] } },
    ...content,
  };
}

/** A UUID that is the same for the same text (version 8 of RFC 9562). */
function uuidOf(text: string): string {
  const bytes = createHash("sha256").update(text).digest().subarray(0, 16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x80;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = bytes.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
