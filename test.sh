#!/usr/bin/env bash
# Sets up what the tests need and runs them all:   ./test.sh
# Some of them:                                    ./test.sh unit style
#                                                  ./test.sh integration packages/agent/test/files.test.ts
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
source scripts/prepare.sh

# Unit and style tests need no machine, so no package of the system either.
purpose=build
if [ $# -eq 0 ]; then purpose=test; fi
for argument in "$@"; do
  case "$argument" in
    unit | style | -*) ;;
    *) purpose=test ;;
  esac
done
prepare "$purpose"
exec "$node_binary" --conditions=source scripts/test.ts "$@"
