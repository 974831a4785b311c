#!/bin/sh
# Measure a suite, compare it with a baseline, leave report, evidence and findings in a folder.
# Plain shell for Jenkins, cron and anything else; ci/action.yml and ci/gitlab.yml run this file too.
#
#   WATTPROOF_SUITE          the suite to measure (required)
#   WATTPROOF_BASELINE       a record, a folder of records, REF:PATH or a git ref; empty: measure only
#   WATTPROOF_BASELINE_PATH  folder at that git ref
#   WATTPROOF_GATE           gate file (docs/gate.md)
#   WATTPROOF_OUT            folder for everything [wattproof-out]
#   WATTPROOF_BIN            the program [wattproof]
#
# Ends with the exit code of the gate: 0 passed, 7 worse, 4 ambiguous, 3 not comparable, 6 energy missing.
set -eu

bin=${WATTPROOF_BIN:-wattproof}
out=${WATTPROOF_OUT:-wattproof-out}
suite=${WATTPROOF_SUITE:?name the suite to measure}
mkdir -p "$out"
# A workspace may be left over from the last build.
rm -rf "$out/record" "$out/bundle.tar.zst"

"$bin" run "$suite" --out "$out/record"

# Most records of CI are not certifiable, and the bundle says why: 3 refused, 4 inconclusive.
code=0
"$bin" certify "$out/record" --out "$out/bundle.tar.zst" >"$out/certificate.txt" || code=$?
case $code in 0 | 3 | 4) ;; *) exit "$code" ;; esac

if [ -z "${WATTPROOF_BASELINE:-}" ]; then
  echo "no baseline: nothing was gated; keep $out/record as the first one"
  exit 0
fi
set -- "$out/record" "--baseline=$WATTPROOF_BASELINE"
[ -z "${WATTPROOF_BASELINE_PATH:-}" ] || set -- "$@" "--path=$WATTPROOF_BASELINE_PATH"
[ -z "${WATTPROOF_GATE:-}" ] || set -- "$@" "--gate=$WATTPROOF_GATE"
exec "$bin" gate "$@" \
  --out "json=$out/gate.json" --out "junit=$out/gate.xml" --out "sarif=$out/gate.sarif" \
  --out "markdown=$out/gate.md" --out "github=$out/annotations.txt" \
  --out "gitlab=$out/gl-code-quality-report.json" --out "parquet=$out/gate.parquet"
