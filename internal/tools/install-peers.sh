#!/usr/bin/env bash
# Installs the real programs that tests talk to (Debian). Quiet, does nothing the second time, and starts no daemon.
set -euo pipefail

packages=(
  gcc libc6-dev       # the race detector links with cgo
  sip-tester          # sipp
  baresip linphone-cli
  kamailio kamailio-tls-modules   # a carrier, and the yardstick of the benchmark
  sipvicious          # a scanner that must find nothing
  chromium            # the pages, in a real browser
  prometheus          # promtool
  postgresql          # the other store
  util-linux procps
)

missing=()
for p in "${packages[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null || true)" = installed ] || missing+=("$p")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
  echo "install-peers: apt-get is not here; install by hand: ${missing[*]}" >&2
  exit 1
fi
sudo=()
[ "$(id -u)" = 0 ] || sudo=(sudo)

# Packages of servers start them at once; tests start their own. policy-rc.d 101 means "not now" (see invoke-rc.d(8)).
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$policy" >/dev/null
  "${sudo[@]}" chmod 755 "$policy"
  trap '"${sudo[@]}" rm -f "$policy"' EXIT
fi

echo "installing ${missing[*]}"
log=$(mktemp)
export DEBIAN_FRONTEND=noninteractive
install() { "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" >"$log" 2>&1; }
if ! { "${sudo[@]}" apt-get update -q >"$log" 2>&1 && install; }; then
  cat "$log" >&2
  echo "install-peers: apt-get failed, see above" >&2
  exit 1
fi
rm -f "$log"
