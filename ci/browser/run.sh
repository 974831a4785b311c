#!/usr/bin/env bash
# Makes the pages, then visits them in a headless Chromium: ci/browser/run.sh [TEST…]
# Needs node 20, npm and chromium, and the release build with its examples. Everything it writes is below target/browser;
# target/browser/shots holds pictures to look at.
set -euo pipefail
cd "$(dirname "$0")/../.."

home=target/browser work=target/browser/work bin=${WATTPROOF:-target/release/wattproof} examples=target/release/examples
mkdir -p "$home"
if ! cmp -s ci/browser/package.json "$home/package.json" || [ ! -d "$home/node_modules" ]; then
  cp ci/browser/package.json "$home/package.json"
  PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm install --prefix "$home" --no-audit --no-fund --silent
fi

rm -rf "$work" "$home/shots"
mkdir -p "$work"
"$examples/many_records" "$work/records" 150 odd
"$bin" report "$work/records/wrong-answer" >/dev/null # a record with a report beside it
"$bin" keygen "$work/lab.key" >/dev/null
"$bin" certify "$work/records/certifiable" --issuer 'Energy lab' --place Wien --issued-at 2026-11-22T12:00:00Z \
  --sign "$work/lab.key" >/dev/null || [ $? -eq 3 ]
"$bin" site "$work/records" -o "$work/site" --key "$work/lab.key.pub" 2>"$work/site.err"
first=$(find "$work/records" -mindepth 1 -maxdepth 1 -name '*-0000')
"$bin" report "$first" --only html --out "$work/reports/rapl" >/dev/null
"$bin" report "$work/records/wrong-answer" --only html --out "$work/reports/wrong" >/dev/null
"$examples/certificate_specimens" "$work/specimens" certified refused inconclusive hostile
if "$bin" compare --help >/dev/null 2>&1; then
  "$bin" compare "$first" "$(find "$work/records" -mindepth 1 -maxdepth 1 -name '*-0001')" --out "$work/compare" >/dev/null
  [ -e "$work/compare/compare.html" ] || find "$work/compare" -name '*.html' -exec mv {} "$work/compare/compare.html" \;
fi
if [ "${WATTPROOF_LARGE_RECORDS:-1000}" -gt 0 ]; then
  "$examples/many_records" "$work/many" "${WATTPROOF_LARGE_RECORDS:-1000}"
  begin=$(date +%s%N)
  "$bin" site "$work/many" -o "$work/large" >/dev/null
  printf 'a site of %s records: %d ms\n' "${WATTPROOF_LARGE_RECORDS:-1000}" $((($(date +%s%N) - begin) / 1000000))
  rm -rf "$work/many"
fi

tests=("$@")
[ ${#tests[@]} -gt 0 ] || tests=(ci/browser/*.test.js)
WATTPROOF=$bin node --test --test-concurrency=1 --test-reporter=tap "${tests[@]}"
