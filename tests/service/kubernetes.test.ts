/** The manifests of deploy/kubernetes: what they say fits together, and fits the executable. */
import { copyFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { parseCommandLine } from "../../src/cli/command-line.ts";
import { curl } from "../e2e/curl.ts";
import { CertificateAuthority } from "../harness/certificates.ts";
import { type EtcdCluster, startEtcdCluster } from "../harness/etcd-cluster.ts";
import { type EtcdproxyProcess, startGrpcProxy } from "../harness/etcdproxy-process.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";
import { waitFor } from "../harness/wait-for.ts";
import manifest from "../../package.json";

setDefaultTimeout(120_000);

interface Named {
  readonly name: string;
}
interface Port extends Named {
  readonly port: number;
  readonly targetPort: string;
  readonly containerPort: number;
}
interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string };
}
interface Container {
  readonly image: string;
  readonly args: readonly string[];
  readonly ports: readonly Port[];
  readonly startupProbe: Probe;
  readonly readinessProbe: Probe;
  readonly livenessProbe: Probe;
  readonly securityContext: unknown;
  readonly lifecycle: { readonly preStop: { readonly sleep: { readonly seconds: number } } };
  readonly volumeMounts: readonly (Named & { readonly mountPath: string })[];
}
interface Pod {
  readonly serviceAccountName: string;
  readonly automountServiceAccountToken: boolean;
  readonly terminationGracePeriodSeconds: number;
  readonly securityContext: unknown;
  readonly containers: readonly [Container];
  readonly volumes: readonly Named[];
}
interface Labels {
  readonly [label: string]: string;
}
interface Resource {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Named & { readonly labels: Labels };
  readonly spec: {
    readonly replicas: number;
    readonly minAvailable: number;
    readonly clusterIP?: string;
    readonly ports: readonly Port[];
    readonly selector: Labels & { readonly matchLabels: Labels };
    readonly podSelector: { readonly matchLabels: Labels };
    readonly endpoints: readonly { readonly port: string; readonly path: string }[];
    readonly ingress: readonly { readonly ports: readonly Port[] }[];
    readonly template: {
      readonly metadata: { readonly labels: Labels; readonly annotations: Labels };
      readonly spec: Pod;
    };
  };
}

const repository = join(import.meta.dir, "..", "..");

function read(file: string): Resource[] {
  const text = readFileSync(join(repository, "deploy", "kubernetes", file), "utf8");
  return [Bun.YAML.parse(text)].flat() as Resource[];
}

const resources = read("etcdproxy.yaml");
const [monitor] = read("service-monitor.yaml") as [Resource];

function of(kind: string): Resource[] {
  return resources.filter((resource) => resource.kind === kind);
}

const [deployment] = of("Deployment") as [Resource];
const pod = deployment.spec.template.spec;
const [container] = pod.containers;
const { labels } = deployment.spec.template.metadata;

function flags() {
  const invocation = parseCommandLine(container.args, undefined);
  if (invocation.command !== "grpc-proxy") throw new Error("no grpc-proxy is started");
  return invocation.flags;
}

function portNamed(name: string): number | undefined {
  return container.ports.find((port) => port.name === name)?.containerPort;
}

test("there is what there is to be, of the versions that Kubernetes serves", () => {
  expect([...resources, monitor].map(({ apiVersion, kind }) => `${apiVersion} ${kind}`)).toEqual([
    "v1 ServiceAccount",
    "apps/v1 Deployment",
    "v1 Service",
    "v1 Service",
    "policy/v1 PodDisruptionBudget",
    "networking.k8s.io/v1 NetworkPolicy",
    "monitoring.coreos.com/v1 ServiceMonitor",
  ]);
});

test("the executable knows its flags, and serves where the ports say", () => {
  expect(flags().listenAddr).toBe(`0.0.0.0:${portNamed("grpc")}`);
  expect(flags().metricsAddr).toBe(`http://0.0.0.0:${portNamed("metrics")}`);
  expect(container.image).toBe(`etcdproxy:${manifest.version}`);
});

test("clients that ask for the members are sent to a service of it", () => {
  const { protocol, hostname, port } = new URL(flags().advertiseClientUrl);
  expect(protocol).toBe("https:");
  const service = of("Service").find(({ metadata }) => metadata.name === hostname);
  expect(service?.spec.ports.map((each) => String(each.port))).toContain(port);
});

test("services, the policy and the monitor name ports of the container", () => {
  const targets = of("Service").flatMap(({ spec }) => spec.ports);
  for (const { port, targetPort } of targets) expect(portNamed(targetPort)).toBe(port);
  const names = container.ports.map(({ name }) => name).sort();
  const [policy] = of("NetworkPolicy");
  expect(policy?.spec.ingress.flatMap(({ ports }) => ports.map(({ port }) => String(port))).sort()).toEqual(
    names,
  );
  expect(monitor.spec.endpoints.map(({ port }) => port)).toEqual(["metrics"]);
  expect(deployment.spec.template.metadata.annotations["prometheus.io/port"]).toBe(
    String(portNamed("metrics")),
  );
});

test("everything selects the pods of the deployment", () => {
  const selectors = [
    deployment.spec.selector.matchLabels,
    monitor.spec.selector.matchLabels,
    ...of("Service").map(({ spec }) => spec.selector),
    ...of("PodDisruptionBudget").map(({ spec }) => spec.selector.matchLabels),
    ...of("NetworkPolicy").map(({ spec }) => spec.podSelector.matchLabels),
  ];
  for (const selector of selectors) expect(selector).toEqual(labels);
});

test("clients that balance by themselves have a service without an address", () => {
  expect(of("Service").map(({ spec }) => spec.clusterIP)).toEqual([undefined, "None"]);
});

test("a stop may take what clients were promised, and one pod of several always serves", () => {
  const patience = container.lifecycle.preStop.sleep.seconds + flags().drainTimeoutMs / 1_000;
  expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(patience);
  const [budget] = of("PodDisruptionBudget");
  expect(deployment.spec.replicas).toBeGreaterThan(budget?.spec.minAvailable ?? 0);
});

test("it is what the restricted standard for pods asks for, and has no token", () => {
  expect(pod.securityContext).toMatchObject({
    runAsNonRoot: true,
    runAsUser: 65_532,
    seccompProfile: { type: "RuntimeDefault" },
  });
  expect(container.securityContext).toEqual({
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ["ALL"] },
  });
  expect(pod.automountServiceAccountToken).toBe(false);
  expect(of("ServiceAccount").map(({ metadata }) => metadata.name)).toEqual([pod.serviceAccountName]);
});

test("the files of its flags lie in what is mounted", () => {
  const { certFile, keyFile, trustedCaFile, cert, key, cacert } = flags();
  const folders = container.volumeMounts.map(({ mountPath }) => mountPath);
  for (const path of [certFile, keyFile, trustedCaFile, cert, key, cacert]) {
    expect(folders).toContain(path.slice(0, path.lastIndexOf("/")));
  }
  expect(container.volumeMounts.map(({ name }) => name)).toEqual(pod.volumes.map(({ name }) => name));
});

test("/proxy/health has where its socket can lie, though nothing else can be written to", () => {
  const { name } = container.volumeMounts.find(({ mountPath }) => mountPath === "/tmp") ?? {};
  expect(pod.volumes.find((volume) => volume.name === name)).toEqual(
    expect.objectContaining({ emptyDir: { medium: "Memory", sizeLimit: "1Mi" } }),
  );
});

/** What the manifest starts, but for addresses and the folder of the secret. */
function argumentsWith(secret: string): string[] {
  const here = /^--(?:listen-addr|metrics-addr|endpoints)=/;
  const [, , ...words] = container.args;
  return words
    .filter((word) => !here.test(word))
    .map((word) => word.replace("=/etc/etcdproxy/tls/", `=${secret}/`));
}

describe("the executable, with the arguments of the manifest and members that want a certificate,", () => {
  const folder = new TemporaryFolder("kubernetes");
  let cluster: EtcdCluster;
  let proxy: EtcdproxyProcess;
  let url = "";
  beforeAll(async () => {
    const authority = await CertificateAuthority.create(folder, "authority");
    const served = await authority.server("served");
    const own = await authority.client("own");
    const server = await authority.server("etcd");
    const secret = [
      [served.certificateFile, "tls.crt"],
      [served.keyFile, "tls.key"],
      [authority.file, "ca.crt"],
      [own.certificateFile, "member.crt"],
      [own.keyFile, "member.key"],
      [authority.file, "member-ca.crt"],
    ] as const;
    for (const [file, name] of secret) copyFileSync(file, folder.file(name));
    const tls = { server, clients: { caFile: authority.file, own } };
    cluster = await startEtcdCluster({ members: 1, tls });
    const words = argumentsWith(folder.path);
    expect(words.filter((word) => word.includes(folder.path))).toHaveLength(secret.length);
    proxy = await startGrpcProxy(cluster.endpoints, ["--metrics-addr=http://127.0.0.1:0", ...words]);
    url = String((await proxy.logged("listening for metrics"))["address"]);
  });
  afterAll(async () => {
    await proxy.stop();
    await cluster.dispose();
    folder[Symbol.dispose]();
  });

  test.each([
    ["startupProbe", container.startupProbe],
    ["readinessProbe", container.readinessProbe],
    ["livenessProbe", container.livenessProbe],
  ])("answers the %s at the port for metrics", async (_, probe) => {
    expect(probe.httpGet.port).toBe("metrics");
    await waitFor(
      "a good answer",
      async () => (await curl("HTTP/1.1", url + probe.httpGet.path)).status === 200,
    );
  });

  test("answers /proxy/health, for which it writes its socket", async () => {
    await waitFor("health", async () => (await curl("HTTP/1.1", `${url}/proxy/health`)).status === 200);
  });

  test("has its metrics where Prometheus is sent", async () => {
    for (const path of [
      deployment.spec.template.metadata.annotations["prometheus.io/path"],
      ...monitor.spec.endpoints.map((endpoint) => endpoint.path),
    ]) {
      expect((await curl("HTTP/1.1", `${url}${path}`)).body).toContain("etcdproxy_member_connections");
    }
  });
});
