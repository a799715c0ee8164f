import type { SandboxClient, Webhook, WebhookDelivery } from "@insien/sandbox";
import { type Command, Option } from "commander";
import { clientOf } from "../context.ts";
import { EXIT } from "../exit-codes.ts";
import { type OutputFlags, print, printList } from "../output/print.ts";
import { agoText } from "../output/quantity.ts";
import { stateText } from "../output/style.ts";
import { missing } from "../usage-error.ts";
import { collect } from "../values.ts";

interface CreateFlags extends OutputFlags {
  event?: string[];
  description?: string;
}

interface DeliveryFlags extends OutputFlags {
  state?: WebhookDelivery["state"];
}

const PAGE = 100;
/** Longer than a receiver may take to answer. */
const OUTCOME_MS = 12_000;
const LOOK_MS = 200;

export function addWebhooks(program: Command): void {
  const webhook = program.command("webhook").description("Have events sent to an address of yours");
  addHooks(webhook);
  addDeliveries(webhook);
}

function addHooks(webhook: Command): void {
  webhook
    .command("ls", { isDefault: true })
    .alias("list")
    .description("List webhooks")
    .option("--json", "as JSON")
    .action(async (flags: OutputFlags, command: Command) => {
      await using client = await clientOf(command);
      printList(flags, await client.webhooks.list(), {
        headings: ["ID", "URL", "EVENTS", "ACTIVE", "CREATED"],
        row: (each: Webhook) => [
          each.id,
          each.url,
          each.events.join(" "),
          each.active ? "yes" : `no: ${each.inactiveReason ?? "switched off"}`,
          agoText(each.createdAt),
        ],
        empty: "There are no webhooks. Make one with `insien webhook create <url>`.",
      });
    });
  webhook
    .command("create")
    .description("Make a webhook; the secret it signs with is shown this once")
    .argument("<url>", "where events are sent")
    .option("--event <pattern>", "such as sandbox.* or sandbox.failed; repeatable", collect<string>)
    .option("--description <text>", "what it is for")
    .option("--json", "as JSON")
    .action(async (url: string, flags: CreateFlags, command: Command) => {
      await using client = await clientOf(command);
      const { event: events, description } = flags;
      const made = await client.webhooks.create({ url, events, description });
      print(flags, made, `${made.id}\n${made.secret}\n`);
      if (flags.json !== true && process.stdout.isTTY)
        process.stderr.write(
          `The second line is the secret that it signs with: keep it, it cannot be shown again.\nTry it: insien webhook test ${made.id}\n`,
        );
    });
  for (const [verb, active] of [
    ["enable", true],
    ["disable", false],
  ] as const) {
    webhook
      .command(verb)
      .description(active ? "Send again" : "Send nothing for now")
      .argument("<webhook>", "id")
      .option("--json", "as JSON")
      .action(async (id: string, flags: OutputFlags, command: Command) => {
        await using client = await clientOf(command);
        const changed = await client.webhooks.update(id, { active });
        print(flags, changed, changed.id);
      });
  }
  webhook
    .command("rm")
    .description("Remove webhooks, with their log")
    .argument("<webhooks...>", "ids")
    .option("--json", "as JSON")
    .action(async (ids: string[], flags: OutputFlags, command: Command) => {
      await using client = await clientOf(command);
      for (const id of ids) {
        if (!(await client.webhooks.delete(id)))
          throw missing(`There is no webhook ${id}.`, "See `insien webhook ls`.");
      }
      print(flags, ids, () => ids.map((id) => `${id}\n`).join(""));
    });
}

function addDeliveries(webhook: Command): void {
  webhook
    .command("test")
    .description("Send a test event, and say what became of it")
    .argument("<webhook>", "id")
    .option("--json", "as JSON")
    .action(async (id: string, flags: OutputFlags, command: Command) => {
      await using client = await clientOf(command);
      tell(flags, await outcomeOf(client, id, await client.webhooks.test(id)));
    });
  webhook
    .command("log")
    .alias("deliveries")
    .description("Show what was sent and what became of it, newest first")
    .argument("<webhook>", "id")
    .addOption(
      new Option("--state <state>", "only these").choices(["pending", "delivered", "failed"]),
    )
    .option("--json", "as JSON")
    .action(async (id: string, flags: DeliveryFlags, command: Command) => {
      await using client = await clientOf(command);
      const items: WebhookDelivery[] = [];
      for await (const delivery of client.webhooks.deliveries(id, { state: flags.state })) {
        items.push(delivery);
        if (items.length === PAGE) break;
      }
      printList(flags, items, {
        headings: ["ID", "EVENT", "STATE", "ATTEMPTS", "ANSWER", "CREATED"],
        row: (each) => [
          each.id,
          each.event.type,
          stateText(each.state),
          String(each.attempts),
          each.error ?? each.responseStatus?.toString(),
          agoText(each.createdAt),
        ],
        empty: "Nothing was sent yet.",
      });
    });
  webhook
    .command("replay")
    .description("Send a delivery once more")
    .argument("<webhook>", "id")
    .argument("<delivery>", "id, see `insien webhook log`")
    .option("--json", "as JSON")
    .action(async (id: string, delivery: string, flags: OutputFlags, command: Command) => {
      await using client = await clientOf(command);
      tell(flags, await outcomeOf(client, id, await client.webhooks.replay(id, delivery)));
    });
}

/** As it is after its next attempt, or after some seconds, whichever comes first. */
async function outcomeOf(
  client: SandboxClient,
  id: string,
  sent: WebhookDelivery,
): Promise<WebhookDelivery> {
  const deadline = performance.now() + OUTCOME_MS;
  while (performance.now() < deadline) {
    const found = await findDelivery(client, id, sent.id);
    const isTried = found?.error !== undefined && found.attempts > sent.attempts;
    if (found !== undefined && (found.state !== "pending" || isTried)) return found;
    await new Promise((done) => setTimeout(done, LOOK_MS));
  }
  return sent;
}

/** New ones come first, so that one page has it. */
async function findDelivery(
  client: SandboxClient,
  id: string,
  deliveryId: string,
): Promise<WebhookDelivery | undefined> {
  let seen = 0;
  for await (const delivery of client.webhooks.deliveries(id)) {
    if (delivery.id === deliveryId) return delivery;
    seen += 1;
    if (seen === PAGE) return undefined;
  }
  return undefined;
}

function tell(flags: OutputFlags, delivery: WebhookDelivery): void {
  const answer = delivery.error ?? delivery.responseStatus;
  const outcome = answer === undefined ? "" : `: ${answer}`;
  print(flags, delivery, `${delivery.id}  ${stateText(delivery.state)}${outcome}`);
  if (delivery.state === "failed") process.exitCode = EXIT.failed;
}
