import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { ServiceManager } from "../../src/cli/service-manager.ts";
import { RecordedLog } from "../gateway/recorded-log.ts";
import { NotifyReceiver } from "../harness/notify-receiver.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";
import { waitFor } from "../harness/wait-for.ts";

const product = { close: async () => {} };

let folder: TemporaryFolder;
let receiver: NotifyReceiver;
beforeEach(async () => {
  folder = new TemporaryFolder("manager");
  receiver = await NotifyReceiver.bind(folder.file("socket"));
});
afterEach(async () => {
  await receiver[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

function open(environment: Record<string, string | undefined> = {}): ServiceManager {
  const manager = ServiceManager.open(
    { NOTIFY_SOCKET: receiver.name, ...environment },
    30_000,
    new RecordedLog(),
  );
  if (manager === null) throw new Error("the socket cannot be used");
  return manager;
}

test("what is meant for this process alone is taken out of the environment", () => {
  const environment: Record<string, string | undefined> = {
    NOTIFY_SOCKET: receiver.name,
    WATCHDOG_PID: "1",
    WATCHDOG_USEC: "1",
    HOME: "/",
  };
  ServiceManager.open(environment, 0, new RecordedLog());
  expect(environment).toEqual({ HOME: "/" });
});

test("it is ready again only when the last of several reloads is over", async () => {
  const manager = open();
  manager.ready(product);
  manager.reloading();
  manager.reloading();
  manager.reloaded();
  manager.reloaded();
  await receiver.nth("READY", 2);
  expect(receiver.states).toEqual(["STATUS", "READY", "RELOADING", "RELOADING", "READY"]);
});

test("a reload that ends during the stop takes nothing of it back", async () => {
  const manager = open();
  manager.ready(product);
  manager.reloading();
  manager.stopping();
  manager.reloaded();
  manager.reloading();
  manager.failed(new Error("the last"));
  await waitFor("the last", () => receiver.notices.at(-1)?.assigned["STATUS"] === "the last");
  expect(receiver.states).toEqual(["STATUS", "READY", "RELOADING", "STOPPING", "STATUS"]);
});

test("a status is one line, whatever it tells", async () => {
  open().failed(new Error("first\nREADY=1\n\tthird"));
  const { assigned } = await receiver.nth("STATUS", 2);
  expect(assigned).toEqual({ STATUS: "first READY=1 third" });
});

describe("the watchdog", () => {
  test("gets no sign of life while a part of the product is beyond help", async () => {
    let isWell = true;
    open({ WATCHDOG_USEC: "20000" }).ready({ ...product, isWell: () => isWell });
    await receiver.nth("WATCHDOG", 2);
    isWell = false;
    const { length } = receiver.notices;
    await Bun.sleep(200);
    expect(receiver.notices.length - length).toBeLessThanOrEqual(1);
    isWell = true;
    await waitFor("signs of life", () => receiver.notices.length > length + 2);
  });

  test.each(["", "0", "-1", "often"])("of a period %j is none", async (period) => {
    const manager = open({ WATCHDOG_USEC: period });
    manager.ready(product);
    await Bun.sleep(50);
    manager.stopping();
    await receiver.nth("STOPPING");
    expect(receiver.notices.map(({ assigned }) => Object.keys(assigned)[0])).not.toContain("WATCHDOG");
  });
});
