// A container with a program and a port. Needs a running Insien with Docker, and its key:
//
//   INSIEN_API_KEY=... npm start -- http://localhost:3000 python:3.9
import { SandboxClient, type CreateSandboxRequest } from "@insien/sandbox";

const [url = "http://localhost:3000", image = "python:3.9", command = "python -m http.server 8080"] =
  process.argv.slice(2);

await using client = new SandboxClient(url);

// Create a sandbox
const request: CreateSandboxRequest = {
  image,
  command,
  ports: [{ internal: 8080, protocol: "http" }],
  resources: { cpu: 1.0, memory: "512m" },
};
const sandbox = await client.createSandbox(request);
console.log(`Created sandbox: ${sandbox.id}, ${sandbox.state}`);

try {
  // Run a command
  const { stdout, exitCode } = await client.executeCommand(sandbox.id, "echo Hello from $(uname)");
  console.log(`${stdout.trim()} (exit code ${exitCode})`);

  // Change what the next command finds
  await client.updateEnvironment(sandbox.id, { STAGE: "test" }, true);
  const { stdout: stage } = await client.executeCommand(sandbox.id, "echo $STAGE");
  console.log(`The stage is ${stage.trim()}`);

  for (const { id, state } of await client.listSandboxes("running")) {
    if (id === sandbox.id) console.log(`Listed as ${state}`);
  }
} finally {
  // Closing the client leaves sandboxes as they are
  await client.deleteSandbox(sandbox.id);
  console.log("Deleted");
}
