#!/usr/bin/env bash
# The kernels on AArch64, without such a processor: built for it, and run in the emulator of user programs (qemu-user).
#   ci/aarch64.sh [kernels|older]…      both without an argument
#   kernels: all tests of the kernels on a processor with everything that the emulator knows (dot products, bf16, i8mm)
#   older:   the small cases on a Cortex-A57, which has NEON and nothing more
# Takes a standard library for aarch64-unknown-linux-gnu, a cross compiler of C and qemu where they are installed. Else,
# on Debian, it takes packages through apt (private lists, nothing is installed; 250 MB) and unpacks them in target/aarch64.
# It says what it skipped, and why. An emulator shows whether answers are right; of speed it shows nothing.
set -uo pipefail
cd "$(dirname "$0")/.."
case ${1:-} in -h | --help) sed -n '2,8s/^# \{0,1\}//p' "$0" && exit 0 ;; esac
target=aarch64-unknown-linux-gnu
home=$PWD/target/aarch64
root=$home/root
export CARGO_TERM_COLOR=never CARGO_TARGET_DIR=$home/build
# Vectors stay vectors, and a build takes half as long.
export CARGO_PROFILE_RELEASE_OPT_LEVEL=1
failed=0 passed=0 skipped=0

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
finish() {
  printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
  [ "$failed" -eq 0 ]
  exit
}
without() { # without REASON: nothing can be tested
  skipped=$((skipped + 1))
  note "skipped: AArch64" "$1"
  finish
}

# --- compiler, linker, emulator -------------------------------------------------------------------------------------
has_library() { [ -n "$(find "$("$1" --print target-libdir --target $target 2>/dev/null)" -name 'libstd-*.rlib' 2>/dev/null)" ]; }
emulator() { command -v qemu-aarch64-static || command -v qemu-aarch64; }
installed() { has_library "${RUSTC:-rustc}" && command -v aarch64-linux-gnu-gcc >/dev/null && emulator >/dev/null; }

# A program among the unpacked packages, with their libraries.
wrapper() { # wrapper NAME PROGRAM [ARGUMENT]…
  local name=$1
  shift
  printf '#!/bin/sh\nLD_LIBRARY_PATH=%q exec %s "$@"\n' "$root/usr/lib/x86_64-linux-gnu" "$*" >"$home/$name"
  chmod +x "$home/$name"
}

# Packages that are needed for some and not installed, with their dependencies: one name a line.
needed() {
  apt_cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances "$@" |
    grep -E '^[a-z0-9]' | sort -u | while read -r name; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || printf '%s\n' "$name"
  done
}
options=()
apt_get() { apt-get -qq "${options[@]}" "$@"; }
apt_cache() { apt-cache "${options[@]}" "$@"; }

fetch() { # 1 with a reason on standard output when it does not work
  command -v apt-get >/dev/null || { echo "no standard library for $target, cross compiler or qemu is installed, and there is no apt-get"; return 1; }
  [ "$(dpkg --print-architecture)" = amd64 ] || { echo "packages of a cross compiler are looked for on amd64 only"; return 1; }
  mkdir -p "$home/apt/lists/partial" "$home/apt/cache/archives/partial" "$home/debs"
  options=(-o Dir::State::lists="$home/apt/lists" -o Dir::Cache="$home/apt/cache" -o APT::Architectures::=amd64
    -o APT::Architectures::=arm64 -o APT::Sandbox::User=root)
  apt_get update || { echo "apt-get update failed"; return 1; }
  local packages library
  packages=$(needed rustc-web gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static)
  # The library for the other architecture: its version is that of the compiler.
  library=$(printf '%s\n' "$packages" | grep -E '^libstd-rust-web-[0-9.]+$')
  [ -n "$library" ] || { echo "there is no package of a standard library for $target (rustc-web of Debian 12 or newer)"; return 1; }
  # shellcheck disable=SC2086 # names of packages
  (cd "$home/debs" && apt_get download $packages libstd-rust-web-dev:arm64 "$library:arm64") || { echo "the packages could not be fetched"; return 1; }
  mkdir -p "$root"
  local package
  for package in "$home"/debs/*.deb; do
    dpkg -x "$package" "$root" || { echo "$package could not be unpacked"; return 1; }
  done
  rm -rf "$home/debs" "$home/apt"
}

if [ "$(uname -m)" = aarch64 ]; then
  without "this processor is one: cargo nextest run --release --lib -- kernels::"
elif installed; then
  compiler=${RUSTC:-rustc} linker=aarch64-linux-gnu-gcc archiver=aarch64-linux-gnu-ar
  qemu=$(emulator) libraries=/usr/aarch64-linux-gnu
else
  if [ ! -e "$root/usr/bin/rustc" ]; then
    reason=$(fetch) || { rm -rf "$root"; without "$reason"; }
  fi
  wrapper rustc "$root/usr/bin/rustc"
  wrapper cc "$root/usr/bin/aarch64-linux-gnu-gcc" "--sysroot=$root" "-B$root/usr/bin/aarch64-linux-gnu-"
  wrapper ar "$root/usr/bin/aarch64-linux-gnu-ar"
  compiler=$home/rustc linker=$home/cc archiver=$home/ar
  qemu=$root/usr/bin/qemu-aarch64-static libraries=$root/usr/aarch64-linux-gnu
fi
export RUSTC=$compiler CC_aarch64_unknown_linux_gnu=$linker AR_aarch64_unknown_linux_gnu=$archiver
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=$linker
run() { # run PROCESSOR PROGRAM [ARGUMENT]…
  local processor=$1
  shift
  "$qemu" -cpu "$processor" -L "$libraries" "$@"
}
built() { # built ARGUMENTS: builds for the target and prints the path of the last program
  cargo "$@" --release --no-default-features --locked --target "$target" --message-format json-render-diagnostics |
    grep -oE '"executable":"[^"]*"' | tail -n 1 | cut -d '"' -f 4
}

# --- what is run ----------------------------------------------------------------------------------------------------
kernels() {
  local program
  program=$(built test --lib --no-run)
  [ -n "$program" ] || { verdict "kernels" 1; return; }
  # The whole arithmetic probe is thousands of groups of chains, too many for an emulator; one group is a test of its own.
  run max "$program" kernels:: --skip kernels::fma::tests::every_path --skip kernels::fma::tests::rounded \
    --test-threads "$(nproc)" --quiet
  verdict "kernels" $?
}

older() {
  local program
  program=$(built test --lib --no-run)
  [ -n "$program" ] || { verdict "kernels on an older processor" 1; return; }
  run cortex-a57 "$program" kernels::every:: kernels::dot:: kernels::isa:: kernels::gemm:: --test-threads "$(nproc)" --quiet
  verdict "kernels on an older processor" $?
}

for what in "${@:-all}"; do
  case $what in
    all) kernels; older ;;
    kernels) kernels ;;
    older) older ;;
    *) note "$what" "unknown; known are kernels and older"; exit 2 ;;
  esac
done
finish
