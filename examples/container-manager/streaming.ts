// Following what a command prints. Needs a running Insien and its key:
//
//   INSIEN_API_KEY=... npm run streaming -- http://localhost:3000
import { SandboxClient } from "@insien/sandbox";

const [url = "http://localhost:3000"] = process.argv.slice(2);

await using client = new SandboxClient(url);
const { id } = await client.createSandbox({});

try {
  // A program that goes on writing a log
  const writer = "while true; do date +%T.%N; sleep 0.05; done > /tmp/app.log 2>&1 &";
  await client.executeCommand(id, `${writer} touch /tmp/app.log`);

  // Until we have seen enough: leaving the loop ends the command
  let seen = 0;
  for await (const line of client.streamCommand(id, "tail -f /tmp/app.log")) {
    console.log(`log: ${line}`);
    seen += 1;
    if (seen === 5) break;
  }
  // Both streams, and how it ended
  const lines = client.streamCommand(id, "echo out; sleep 0.1; echo err >&2; exit 3", {
    labelled: true,
  });
  for (let next = await lines.next(); ; next = await lines.next()) {
    if (next.done === true) {
      console.log(`exit code ${next.value.exitCode}`);
      break;
    }
    console.log(`${next.value.stream}: ${next.value.line}`);
  }
} finally {
  await client.deleteSandbox(id);
}
