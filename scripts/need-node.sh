# Read by start.sh, setup.sh and test.sh: all the rest is written in JavaScript.
if ! command -v node >/dev/null; then
  echo "error: Node.js 20 or newer is needed (Debian: apt-get install -y nodejs npm; or https://nodejs.org)." >&2
  exit 1
fi
