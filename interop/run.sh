#!/usr/bin/env bash
# Installs what the interoperability tests need and runs all of them. Needs Go
# and Node 20 or later; npm fetches Stytch's SDKs, and apt-get Chromium if it
# is missing. No account, no secret.
#
#   interop/run.sh              all groups
#   interop/run.sh sdk node     these groups only
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

if [ ! -x "${CHROMIUM:-/usr/bin/chromium}" ]; then
  as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo)
  "${as_root[@]}" apt-get update -q
  DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -q -y --no-install-recommends chromium
fi
# npm ci starts from nothing, so only when something changed.
if ! cmp -s package-lock.json node_modules/.installed; then
  npm ci --no-audit --no-fund
  cp package-lock.json node_modules/.installed
fi

if [ "$#" -eq 0 ]; then
  exec npm test --silent
fi
for group in "$@"; do
  npm run --silent "test:$group"
done
