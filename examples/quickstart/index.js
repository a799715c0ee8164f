// What a sandbox can do, step by step. Needs a running Insien and its key:
//
//   INSIEN_API_KEY=... npm start
import { Sandbox } from '@insien/sandbox';

const started = performance.now();
const done = (what) => {
  const seconds = ((performance.now() - started) / 1000).toFixed(2);
  console.log(`✓ ${what} (${seconds} s)`);
};
const show = (text) => console.log(text.trimEnd().replace(/^/gm, '    '));

// Initialize with just your API key
const sandbox = new Sandbox({
  apiKey: process.env.INSIEN_API_KEY
});

try {
  // Write a file
  await sandbox.writeFile('hello.js', "console.log('Hello!');");
  done('created a sandbox on first use and wrote hello.js');

  // Run a command
  const result = await sandbox.runCommand('node', ['--version']);
  console.log(result.stdout);
  done('ran node --version');

  // Read a file
  const file = await sandbox.getFile('hello.js');
  console.log(file.content);
  done('read hello.js');

  // Get terminal output
  const output = await sandbox.runCommand('ls', ['-la']);
  console.log(output.stdout);
  done('listed the files');

  const hello = await sandbox.runCommand('node', ['hello.js']);
  show(hello.stdout);
  done(`ran hello.js, exit code ${hello.exitCode}`);

  // Stream what a command prints, as it prints it. A string is a line for the shell.
  await sandbox.commands.run('for n in 1 2 3; do echo "line $n"; sleep 0.1; done', {
    onStdout: show,
  });
  done('streamed a command');

  // Talk to a running command
  const cat = await sandbox.commands.start(['cat'], { stdin: true });
  await cat.write('what goes in comes out\n');
  await cat.closeStdin();
  show((await cat.wait()).stdout);
  done('wrote to a command and read its answer');

  // Use a terminal
  let screen = '';
  const decoder = new TextDecoder();
  const terminal = await sandbox.terminals.open({
    command: ['/bin/sh'],
    cols: 80,
    rows: 24,
    onData: (bytes) => {
      screen += decoder.decode(bytes, { stream: true });
    },
  });
  await terminal.write('echo "six times seven is $((6 * 7))"; exit\n');
  await terminal.wait();
  show(screen.split('\n').find((line) => line.startsWith('six times seven')) ?? screen);
  done('used a terminal');

  // Start a server inside and talk to its port
  await sandbox.writeFile(
    'server.js',
    `const answer = (_, response) => response.end('hello from port 8000');
    require('node:http').createServer(answer).listen(8000);`,
  );
  const server = await sandbox.commands.start(['node', 'server.js']);
  await sandbox.ports.waitFor(8000);
  const connection = await sandbox.ports.open(8000);
  const writer = connection.writable.getWriter();
  await writer.write(new TextEncoder().encode('GET / HTTP/1.0\r\n\r\n'));
  const answer = await new Response(connection.readable).text();
  show(answer.split('\r\n\r\n')[1] ?? answer);
  await server.kill();
  done('talked to a server inside');

  // Files: folders, search, bytes
  await sandbox.files.makeDirectory('notes');
  await sandbox.files.write('notes/today.txt', 'buy milk\nfind the needle\n');
  const { matches } = await sandbox.files.search('notes', 'needle');
  show(matches.map((match) => `${match.path}:${match.line} ${match.text}`).join('\n'));
  done('searched in files');
} finally {
  // Cleanup when done
  await sandbox.destroy();
}
done('destroyed the sandbox');
