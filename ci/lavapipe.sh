#!/usr/bin/env bash
# Runs the tests of WGSL programs on a newer lavapipe than the system's: one with cooperative matrices (Mesa 26 and later).
# Debian's packages of it come into target/lavapipe with the C library they need, and nothing is installed: a driver of
# its own loader is all that the tests see. Needs apt-get and dpkg-deb; WATTPROOF_MESA_SUITE names another suite than sid.
#
#   bash ci/lavapipe.sh [FILTER…]     filters of test names; without one, all tests of `backends::wgpu`
set -euo pipefail
cd "$(dirname "$0")/.."

home=$PWD/target/lavapipe
root=$home/root
suite=${WATTPROOF_MESA_SUITE:-sid}

fetch() {
  local part=$home.part packages
  rm -rf "$part"
  mkdir -p "$part"/{state/lists/partial,cache/archives/partial,etc/preferences.d,etc/apt.conf.d,debs,root}
  touch "$part/state/status"
  cat >"$part/etc/debian.sources" <<SOURCES
Types: deb
URIs: ${WATTPROOF_MESA_MIRROR:-http://deb.debian.org/debian}
Suites: $suite
Components: main
Architectures: amd64
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES
  local apt=(apt-get -qq -o "Dir::Etc::sourcelist=$part/etc/debian.sources" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::Etc::preferencesparts=$part/etc/preferences.d" -o "Dir::State=$part/state"
    -o "Dir::State::status=$part/state/status" -o "Dir::Cache=$part/cache" -o APT::Architecture=amd64
    -o APT::Architectures=amd64 -o Acquire::Languages=none -o APT::Sandbox::User=root)
  "${apt[@]}" update
  packages=$("${apt[@]}" -s --no-install-recommends install mesa-vulkan-drivers libvulkan1 | awk '/^Inst/ {print $2}')
  [ -n "$packages" ] || { echo "$suite offers no mesa-vulkan-drivers" >&2; return 1; }
  # shellcheck disable=SC2086 # a list of names
  (cd "$part/debs" && "${apt[@]}" download $packages)
  for package in "$part"/debs/*.deb; do dpkg-deb -x "$package" "$part/root"; done
  rm -rf "$home"
  mkdir -p "$home"
  mv "$part/root" "$root"
  rm -rf "$part"
}

if [ "$(uname -m)" != x86_64 ]; then
  echo "lavapipe is fetched for x86_64 alone" >&2
  exit 1
fi
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
  echo "lavapipe cannot be fetched: there is no apt-get or no dpkg-deb" >&2
  exit 1
fi
libraries=$root/usr/lib/x86_64-linux-gnu
if [ ! -e "$libraries/libvulkan_lvp.so" ]; then
  fetch
  echo "lavapipe came into target/lavapipe ($(du -sm "$home" | cut -f1) MB)"
fi
driver=$home/lavapipe.json
printf '{"file_format_version": "1.0.0", "ICD": {"library_path": "%s", "api_version": "1.4.0"}}\n' \
  "$libraries/libvulkan_lvp.so" >"$driver"

# The test binary that cargo names, in this C library and with this driver alone.
binary=$(cargo test --release --locked --lib --no-run --message-format=json 2>/dev/null |
  sed -nE 's/.*"name":"wattproof".*"executable":"([^"]+)".*/\1/p' | tail -n 1)
[ -n "$binary" ] || { echo "the tests do not build: cargo test --release --lib --no-run" >&2; exit 1; }
filters=("$@")
[ ${#filters[@]} -gt 0 ] || filters=(backends::wgpu::)
VK_DRIVER_FILES=$driver VK_ICD_FILENAMES=$driver NODEVICE_SELECT=1 XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-$home} \
  "$libraries/ld-linux-x86-64.so.2" --library-path "$libraries" "$binary" "${filters[@]}"
