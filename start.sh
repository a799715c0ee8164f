#!/usr/bin/env bash
# Starts Insien, after getting what is missing:   ./start.sh
# Shows it working from beginning to end:         ./start.sh --demo
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
source scripts/prepare.sh
prepare run
# Compiled modules are kept, so that the next start is quick.
export NODE_COMPILE_CACHE="${NODE_COMPILE_CACHE:-$PWD/.cache/compile}"

if [ "${1:-}" = --demo ]; then
  shift
  exec "$node_binary" --conditions=source scripts/demo.ts "$@"
fi
# Splicing makes short-lived buffers: with V8's young generation kept small they are freed soon, and
# the server needs half the memory.
exec "$node_binary" --conditions=source --max-semi-space-size=4 packages/orchestrator/src/main.ts "$@"
