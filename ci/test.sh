#!/usr/bin/env bash
# Every check of the project: format, lints, tests, documentation, dependencies.
# Installs what the tests need where it can; says what it skipped, and why, where it cannot.
# Ends with one line of counts and exits non-zero when anything failed.
set -uo pipefail
cd "$(dirname "$0")/.."

export CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0 RUST_BACKTRACE=1 INSTA_UPDATE=no
unset NO_COLOR
passed=0 failed=0 skipped=0
log=$(mktemp -d)
trap 'rm -rf "$log"' EXIT
# Tests append a line here for everything they had to leave out.
export WATTPROOF_SKIPPED="$log/skipped"
: >"$WATTPROOF_SKIPPED"

step() { # step NAME COMMAND…: runs a check and counts it
  local name=$1 start=$SECONDS
  shift
  printf -- '--- %s\n' "$name"
  if "$@"; then
    passed=$((passed + 1))
    printf -- '    ok (%d s)\n' $((SECONDS - start))
  else
    failed=$((failed + 1))
    printf -- '    FAILED: %s (%d s)\n' "$name" $((SECONDS - start))
  fi
}
skip() { # skip WHAT WHY
  skipped=$((skipped + 1))
  printf 'skipped: %s: %s\n' "$1" "$2"
}

# Real components that tests use: Chromium (HTML), poppler (PDF), util-linux (mount namespaces), OpenSSL and zstd (bundles),
# lavapipe (programs for graphics cards), PostgreSQL (history; tests start servers of their own).
install() {
  local missing=()
  command -v chromium >/dev/null || missing+=(chromium)
  command -v pdftotext >/dev/null || missing+=(poppler-utils)
  command -v unshare >/dev/null || missing+=(util-linux)
  command -v openssl >/dev/null || missing+=(openssl)
  command -v zstd >/dev/null || missing+=(zstd)
  # Vulkan and a renderer that runs on the processor: programs for graphics cards are checked with it.
  ls /usr/share/vulkan/icd.d/lvp_icd* >/dev/null 2>&1 || missing+=(mesa-vulkan-drivers libvulkan1)
  command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing+=(postgresql)
  [ ${#missing[@]} -eq 0 ] && return
  if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } \
      >"$log/apt" 2>&1 || { echo "could not install: ${missing[*]}"; tail -n 3 "$log/apt"; }
  else
    echo "not installed (needs root and apt-get): ${missing[*]}"
  fi
}

# Consumers of exported files: CycloneDX and in-toto (Python), the Impact Framework (Node). Tests say so where they lack.
consumers() {
  local home=target/interop
  mkdir -p "$home"
  if [ ! -d "$home/venv/lib" ] && command -v python3 >/dev/null; then
    { python3 -m venv "$home/venv" &&
      "$home/venv/bin/pip" install --quiet 'cyclonedx-python-lib[json-validation]==11.12.0' 'in-toto-attestation==0.9.3'; } \
      >"$log/venv" 2>&1 || { rm -rf "$home/venv"; tail -n 3 "$log/venv"; }
  fi
  if [ ! -d "$home/node_modules" ] && command -v npm >/dev/null; then
    npm install --prefix "$home" --no-audit --no-fund --silent @grnsft/if@1.1.0 >"$log/npm" 2>&1 ||
      { rm -rf "$home/node_modules"; tail -n 3 "$log/npm"; }
  fi
}

# Readers of what `gate` and `history` write, and the schemas of CI files.
gate_readers() {
  local home=target/gate
  mkdir -p "$home"
  if [ ! -d "$home/venv/lib" ] && command -v python3 >/dev/null; then
    { python3 -m venv "$home/venv" &&
      "$home/venv/bin/pip" install --quiet 'jsonschema==4.26.0' 'sarif-tools==3.0.5' 'junitparser==5.0.3' \
        'pyarrow==26.0.1' 'duckdb==2.0.0' 'markdown-it-py==4.3.0' 'check-jsonschema==0.39.0'; } \
      >"$log/gate" 2>&1 || { rm -rf "$home/venv"; tail -n 3 "$log/gate"; }
  fi
}

# What checks dependencies. Unoptimised: it runs once, so the build is what counts.
deny() {
  cargo deny --version >/dev/null 2>&1 && return
  CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=256 \
    cargo install cargo-deny --locked --quiet --no-default-features >"$log/deny" 2>&1 || tail -n 3 "$log/deny"
}

# Tools are fetched while the code is linted and compiled, which often keeps one processor only; ci/nvrtc.sh brings the CUDA
# compiler, which needs no GPU. Tests wait for all of them.
{
  install
  consumers
  gate_readers
  bash ci/nvrtc.sh >"$log/nvrtc" 2>&1 || tail -n 3 "$log/nvrtc"
  deny
} >"$log/tools" 2>&1 &
tools=$!

# One profile for everything: dependencies are compiled once. Lints and documentation ride on compiling (ci/lint.sh); where they
# have findings, everything is compiled without them, so that the tests have their say as well.
step "format" cargo fmt --check
before=$failed
export RUSTC_WORKSPACE_WRAPPER="$PWD/ci/lint.sh"
# Tests, what they load and run, and benchmarks in one go: the library and its tests are compiled beside each other.
step "everything compiles, is linted and documented" cargo build --release --locked --all-targets --quiet
if [ "$failed" -gt "$before" ]; then
  unset RUSTC_WORKSPACE_WRAPPER
  step "everything compiles" cargo build --release --locked --all-targets --quiet
fi
if cargo nextest --version >/dev/null 2>&1; then
  run_tests=(cargo nextest run --release --locked --no-fail-fast)
else
  run_tests=(cargo test --release --locked --no-fail-fast --lib --bins --tests)
fi
wait "$tools"
cat "$log/tools"
printf -- '--- tests\n'
tests_ok=1
"${run_tests[@]}" 2>&1 | tee "$log/tests" || tests_ok=0
if grep -q 'tests run:' "$log/tests"; then
  summary=$(grep 'tests run:' "$log/tests" | tail -n 1)
  count() { grep -oE "[0-9]+ $1" <<<"$summary" | grep -oE '[0-9]+' || echo 0; }
  passed=$((passed + $(count passed)))
  failed=$((failed + $(count failed) + $(count 'timed out')))
else
  passed=$((passed + $(grep -oE '[0-9]+ passed' "$log/tests" | awk '{n += $1} END {print n + 0}')))
  failed=$((failed + $(grep -oE '[0-9]+ failed' "$log/tests" | awk '{n += $1} END {print n + 0}')))
fi
# A run that broke without a failed test (it did not build) counts as one failure.
[ "$tests_ok" -eq 1 ] || [ "$failed" -gt 0 ] || failed=1
while IFS= read -r line; do skip "${line%%: *}" "${line#*: }"; done < <(sort -u "$WATTPROOF_SKIPPED")

# Nothing from here on depends on time, so the pages are visited beside the rest, which often keeps one processor only.
ci/browser/run.sh >"$log/browser" 2>&1 &
visits=$!

step "lints without default features" env -u RUSTC_WORKSPACE_WRAPPER \
  cargo clippy --release --lib --bins --locked --quiet --no-default-features -- -D warnings
step "documentation examples" cargo test --release --locked --quiet --doc
benchmarks() { # once each; what they print matters where one fails
  cargo test --release --locked --quiet --benches -- --test >"$log/benches" 2>&1 || { cat "$log/benches" && return 1; }
}
step "benchmarks run" benchmarks

# The pages in a real browser. node counts its tests itself; what is missing is said.
browser() {
  if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    skip "browser tests" "node and npm are not installed"
  elif ! command -v chromium >/dev/null; then
    skip "browser tests" "chromium is not installed"
  elif [ "$(node -p 'process.versions.node.split(".")[0]')" -lt 20 ]; then
    skip "browser tests" "node is older than 20"
  else
    printf -- '--- browser\n'
    local ok=1
    wait "$visits" || ok=0
    said() { grep -oE "^# $1 [0-9]+" "$log/browser" | tail -n 1 | grep -oE '[0-9]+$' || echo 0; }
    grep -E '^(not ok|# .*( ms| of )|a site of)' "$log/browser" || true
    if ! grep -q '^# tests ' "$log/browser"; then
      tail -n 5 "$log/browser"
      if grep -qE 'npm (error|ERR!)' "$log/browser"; then
        skip "browser tests" "their packages could not be installed"
        return
      fi
    fi
    passed=$((passed + $(said pass)))
    failed=$((failed + $(said fail) + $(said cancelled)))
    [ "$ok" -eq 1 ] || [ "$(($(said fail) + $(said cancelled)))" -gt 0 ] || failed=$((failed + 1))
    while IFS= read -r line; do skip "browser: ${line%% # SKIP *}" "${line##* # SKIP }"; done \
      < <(sed -nE 's/^ok [0-9]+ - (.* # SKIP .*)/\1/p' "$log/browser")
  fi
}
browser

if cargo deny --version >/dev/null 2>&1; then
  step "dependencies: licences, bans, sources" cargo deny --offline --log-level error check licenses bans sources
else
  skip "dependency check" "cargo-deny is not installed and could not be built"
fi

printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ]
