#!/usr/bin/env bash
# Fuzzes every parser with libFuzzer: bash ci/fuzz.sh [SECONDS [TARGET…]], 60 s each unless said otherwise.
# Needs a nightly toolchain (AddressSanitizer) and a C++ compiler; the flags are those of `cargo fuzz`, which works in
# this folder as well. New inputs go to fuzz/found, failures to fuzz/artifacts. Exits non-zero on a failure.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"

seconds=${1:-60}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(sed -n 's/^    ("\([a-z]*\)", .*),$/\1/p' targets.rs)

export RUSTUP_TOOLCHAIN=${FUZZ_TOOLCHAIN:-nightly} CARGO_INCREMENTAL=0 CARGO_TARGET_DIR=$PWD/target
triple=$(rustc -vV | sed -n 's/^host: //p')
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address"
cargo build --release --quiet --target "$triple"

failed=0
for target in "${targets[@]}"; do
  mkdir -p "found/$target" "artifacts/$target"
  # An allocation beyond what the largest file of a bundle may need is a finding.
  "target/$triple/release/$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -malloc_limit_mb=600 \
    -max_len=65536 -print_final_stats=1 -artifact_prefix="artifacts/$target/" "found/$target" "corpus/$target" \
    >"found/$target.log" 2>&1 &
  process=$!
  wait "$process" || failed=1
  rm -rf "/dev/shm/wattproof-fuzz-$process"
  number() { sed -n "s/^stat::$1: *//p" "found/$target.log"; }
  printf '%-14s %9s executions, %6s/s, peak %4s MiB; %s\n' "$target" "$(number number_of_executed_units)" \
    "$(number average_exec_per_sec)" "$(number peak_rss_mb)" \
    "$(grep -oE 'cov: [0-9]+ ft: [0-9]+ corp: [0-9]+' "found/$target.log" | tail -n 1)"
  grep -E 'ERROR|panicked|^SUMMARY|Test unit written' -A 1 "found/$target.log" || true
done
exit "$failed"
