// What can go wrong, by class. Needs a running Insien and its key:
//
//   INSIEN_API_KEY=... npm run error-handling -- http://localhost:3000
import {
  SandboxClient,
  SandboxError,
  SandboxNotFoundError,
  SandboxTimeoutError,
  SandboxValidationError,
  SandboxVolumeError,
} from "@insien/sandbox";

const [url = "http://localhost:3000"] = process.argv.slice(2);

// For long-running operations, say how long they may take
await using client = new SandboxClient(url, { timeoutMs: 60_000 });

async function attempt(operation: () => Promise<unknown>): Promise<void> {
  try {
    await operation();
  } catch (error) {
    if (error instanceof SandboxTimeoutError) {
      console.log("Operation timed out");
    } else if (error instanceof SandboxValidationError) {
      console.log(`Invalid request: ${error.message}`);
    } else if (error instanceof SandboxNotFoundError) {
      console.log(`Not there: ${error.message}`);
    } else if (error instanceof SandboxVolumeError) {
      console.log(`Volume: ${error.message}. ${error.hint}`);
    } else if (error instanceof SandboxError) {
      console.log(`Operation failed: ${error.message}`);
    } else {
      throw error;
    }
  }
}

await attempt(() => client.createSandbox({ resources: { cpu: 64 } }));
await attempt(() => client.getSandboxStatus("nosuchsandbox"));
await attempt(() => client.volumes.get("nosuchvolume"));

const { id } = await client.createSandbox({});
try {
  await attempt(() => client.executeCommand(id, "sleep 60", { timeoutMs: 500 }));
  await attempt(async () => {
    await client.stopSandbox(id);
    await client.executeCommand(id, "true");
  });
} finally {
  await client.deleteSandbox(id);
}
