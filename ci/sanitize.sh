#!/usr/bin/env bash
# Memory errors in the kernels, looked for by tools that see every access:
#   AddressSanitizer over all tests of the kernels, so over every path that this processor has;
#   valgrind (memcheck) over the small cases on the portable and the AVX2 path;
#   Miri over the small cases on the portable path.
#   ci/sanitize.sh [address|valgrind|miri]…      all three without an argument
# Needs cargo, and what it uses of valgrind and Miri; says what it skipped, and why. Builds in target/sanitize, from
# nothing in minutes. Buffers come from the allocator here (`--cfg wattproof_heap`), which these tools watch byte by
# byte. Inline assembly (AMX tiles) and gathers are not instrumented: in ordinary tests buffers end at a page that
# nobody may touch.
set -uo pipefail
cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR=never CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/sanitize
# Sanitizers are options of the compiler that are not stable yet; their runtime comes with the stable toolchain.
export RUSTC_BOOTSTRAP=1
# Vectors stay vectors, and a build takes half as long.
export CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_DEBUG=line-tables-only
target=x86_64-unknown-linux-gnu
small=kernels::every::
failed=0 passed=0

note() { printf '%s: %s\n' "$1" "$2"; }
verdict() { # verdict NAME STATUS
  if [ "$2" -eq 0 ]; then
    passed=$((passed + 1))
    note "$1" ok
  else
    failed=$((failed + 1))
    note "$1" FAILED
  fi
}
tests() { # tests FLAGS: builds the tests of the library and prints the path of the program
  RUSTFLAGS="$1" cargo test --release --lib --no-default-features --locked --target "$target" --no-run \
    --message-format json-render-diagnostics |
    grep -oE '"executable":"[^"]*"' | tail -n 1 | cut -d '"' -f 4
}
is_host() { [ "$(rustc -vV | sed -n 's/^host: //p')" = "$target" ]; }

address() {
  if ! is_host; then
    note "skipped: AddressSanitizer" "the paths that it is for are those of $target"
    return
  fi
  local program
  program=$(tests "-Zsanitizer=address --cfg wattproof_heap")
  [ -n "$program" ] || { verdict "AddressSanitizer" 1; return; }
  # Leaks are no memory errors, and looking for them needs ptrace, which containers forbid.
  ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=1 "$program" kernels:: --test-threads "$(nproc)" --quiet
  verdict "AddressSanitizer" $?
}

valgrind_() {
  if ! command -v valgrind >/dev/null; then
    note "skipped: valgrind" "not installed (Debian: apt-get install valgrind)"
    return
  fi
  local program
  program=$(tests "--cfg wattproof_heap")
  [ -n "$program" ] || { verdict "valgrind" 1; return; }
  # It knows no AVX-512, and says so to programs that ask the processor.
  valgrind --quiet --error-exitcode=9 --fair-sched=yes "$program" "$small" --test-threads 1 --quiet
  verdict "valgrind" $?
}

miri() {
  if ! cargo miri --version >/dev/null 2>&1; then
    note "skipped: Miri" "this toolchain has none (rustup +nightly component add miri; RUSTUP_TOOLCHAIN=nightly $0 miri)"
    return
  fi
  # The portable path alone; the system's clock and files are real.
  MIRIFLAGS="-Zmiri-disable-isolation" cargo miri test --lib --no-default-features --locked "$small"
  verdict "Miri" $?
}

for what in "${@:-all}"; do
  case $what in
    all) address; valgrind_; miri ;;
    address) address ;;
    valgrind) valgrind_ ;;
    miri) miri ;;
    *) note "$what" "unknown; known are address, valgrind and miri"; exit 2 ;;
  esac
done
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
