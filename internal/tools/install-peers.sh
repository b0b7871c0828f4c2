#!/usr/bin/env bash
# Installs the real programs that tests talk to (Debian). Quiet, does nothing the second time, and starts no daemon.
set -euo pipefail

packages=(
  gcc libc6-dev       # the race detector links with cgo
  sip-tester          # sipp
  libcap2-bin         # setcap, see below
  baresip linphone-cli
  kamailio kamailio-tls-modules   # a carrier, and the yardstick of the benchmark
  sipvicious          # a scanner that must find nothing
  chromium            # the pages, in a real browser
  prometheus          # promtool
  postgresql          # the other store
  util-linux procps
)

# A desktop of agents runs on Node.js, which brings npm along or not, by who packed it.
command -v node >/dev/null && command -v npm >/dev/null || packages+=(nodejs npm)

missing=()
for p in "${packages[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null || true)" = installed ] || missing+=("$p")
done

sudo=()
[ "$(id -u)" = 0 ] || sudo=(sudo)

# sipp sends audio from the port of the call by a raw socket, which root may open and nobody else by himself.
raw_sockets() {
  local sipp
  sipp=$(command -v sipp)
  [ "$(id -u)" = 0 ] || /usr/sbin/getcap "$sipp" | grep -q cap_net_raw || "${sudo[@]}" /usr/sbin/setcap cap_net_raw+ep "$sipp"
}

if [ ${#missing[@]} = 0 ]; then
  raw_sockets
  exit 0
fi

if ! command -v apt-get >/dev/null; then
  echo "install-peers: apt-get is not here; install by hand: ${missing[*]}" >&2
  exit 1
fi

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
raw_sockets
