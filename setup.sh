#!/usr/bin/env bash
# Gets what is missing and stops there. Not needed: ./start.sh does the same first.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
source scripts/prepare.sh
prepare run
echo "Ready. Start with ./start.sh"
