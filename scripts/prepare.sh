# Read by start.sh, setup.sh and test.sh. `prepare run` gets what is missing and sets node_binary;
# all the rest is written in JavaScript.
prepare() {
  if ! command -v node >/dev/null; then
    echo "error: Node.js 20 or newer is needed (Debian: apt-get install -y nodejs npm; or https://nodejs.org)." >&2
    exit 1
  fi
  local alone=()
  # Two that start at once must not both install.
  if command -v flock >/dev/null; then
    mkdir -p .cache
    alone=(flock .cache/prepare.lock)
  fi
  node_binary=$("${alone[@]}" node scripts/prepare.mjs "$1")
}
