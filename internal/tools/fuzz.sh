#!/usr/bin/env bash
# Runs every fuzz target of the project, each for as long as the first argument says (default 1m).
set -euo pipefail
cd "$(dirname "$0")/../.."
time=${1:-1m}

targets=$(grep -roHE '^func (Fuzz[A-Za-z0-9_]*)\(' --include='*_test.go' . | sed -E 's/^(.*)\/[^/]*:func (Fuzz[^(]*)\($/\1 \2/' | sort -u)
[ -n "$targets" ] || { echo "fuzz: no targets found" >&2; exit 1; }
failed=()
while read -r dir name; do
  echo "== $dir $name"
  go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" -fuzzminimizetime 10x "$dir" || failed+=("$dir $name")
done <<<"$targets"
[ ${#failed[@]} -eq 0 ] || { printf 'fuzz: found something in %s\n' "${failed[@]}" >&2; exit 1; }
echo "fuzzed $(wc -l <<<"$targets") targets for $time each, nothing found"
