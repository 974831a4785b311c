#!/usr/bin/env bash
# Error of energy meters against a known truth: wattproof beside joule-profiler, codecarbon and zeus, on the same
# counters, driven by examples/rig. Prints the table of docs/peers.md.
#   ci/energy_peers.sh [RUNS] [FOLDER]      RUNS windows of 2 s each (20); FOLDER keeps the peers and all results
# Needs cargo, python3 with venv, user namespaces. The peers are installed from their registries by name.
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${1:-20}
folder=${2:-target/peers}
mkdir -p "$folder"
cargo build --release --bins --examples --quiet
[ -x "$folder/jp/bin/joule-profiler" ] || cargo install --quiet --root "$folder/jp" joule-profiler-cli@3.0.1
if [ ! -x "$folder/v/bin/python" ]; then
  python3 -m venv "$folder/v"
  "$folder/v/bin/pip" install --quiet codecarbon==3.3.2 zeus==0.16.0
fi
exec "$folder/v/bin/python" ci/energy_peers.py all --runs "$runs" --folder "$folder" \
  --release "$(readlink -f "${CARGO_TARGET_DIR:-target}/release")"
