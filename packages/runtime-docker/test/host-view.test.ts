import { expect, test } from "vitest";
import { Engine } from "../src/engine.ts";
import { hostAddresses, nameServers, nameServersOf } from "../src/guard-rules.ts";
import { HostView, localAddresses } from "../src/host-view.ts";
import { ImageBuilder } from "../src/image-builder.ts";
import { ImageStore } from "../src/image-store.ts";
import { docker, dockerAnswers } from "./docker-host.ts";

const ownerId = "testhostview";

test.skipIf(!dockerAnswers)(
  "a server in a container sees the addresses and name servers of Docker's host all the same",
  async () => {
    const engine = new Engine("/var/run/docker.sock");
    const images = new URL("../../../images/", import.meta.url).pathname;
    const builder = new ImageBuilder(engine, new ImageStore(engine), images);
    const view = new HostView(engine, builder, { ownerId, isApart: true });
    const routes = await view.addresses();
    // The tests run where the daemon does, so both are the same here.
    expect(routes.toSorted()).toEqual(expect.arrayContaining(hostAddresses().toSorted()));
    expect(routes).toContain("127.0.0.1");
    const names = await view.nameServers();
    expect(names).toEqual(expect.arrayContaining(nameServers()));
    expect(names.filter((name) => name.startsWith("127."))).toEqual([]);
    expect(names, "of Docker's host, or those that Docker gives its bridge").not.toEqual([]);
    const filters = JSON.stringify({ label: [`insien.owner=${ownerId}`] });
    expect(await docker.listContainers({ all: true, filters })).toEqual([]);
  },
);

test("name servers of the machine itself are not among those that others ask", () => {
  const text = "search a\r\nnameserver 127.0.0.11\r\nnameserver 192.0.2.1\r\nnameserver ::1\n";
  expect(nameServersOf(text)).toEqual(["192.0.2.1"]);
});

test("what leads to the host is told from what leads elsewhere", () => {
  const text = `Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     |-- 203.0.113.0
        /24 link UNICAST
Local:\r
     |-- 203.0.113.7\r
        /32 host LOCAL\r
     |-- 203.0.113.255
        /32 link BROADCAST
     |-- 127.0.0.1
        /32 host LOCAL
`;
  expect(localAddresses(text)).toEqual(["203.0.113.7", "127.0.0.1"]);
});
