#!/usr/bin/env bash
# The CPU kernels beside the best libraries for the same work, in turns: oneDNN, MKL, OpenBLAS, BLIS, SciPy, librsb,
# onnxruntime, OpenVINO and, with WATTPROOF_TORCH=1, PyTorch. Writes the tables of docs/kernels-peers.md.
#   ci/peers.sh [FOLDER [OPTIONS OF ci/peers.py…]]      FOLDER keeps the libraries and all results (target/kernel-peers)
# Needs cargo and python3 with venv. The libraries are installed from their registries by name; none is a dependency.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-target/kernel-peers}
shift || true
mkdir -p "$folder"
cargo build --release --bins --examples --quiet
if [ ! -x "$folder/v/bin/python" ]; then
  python3 -m venv "$folder/v"
  "$folder/v/bin/pip" install --quiet numpy==2.4.6 scipy==1.17.1 mkl==2026.2.0 scipy-openblas32==0.3.34.481.3 \
    onednn-cpu-gomp==2023.2.0 blis==1.3.4 onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1
fi
# Its wheels bring gigabytes of libraries for GPUs, so it is installed on request only.
if [ "${WATTPROOF_TORCH:-0}" = 1 ] && ! "$folder/v/bin/python" -c 'import torch' 2>/dev/null; then
  "$folder/v/bin/pip" install --quiet torch==2.15.0
fi
# librsb has no wheel; Debian has it. It is unpacked beside the others and installed nowhere.
if [ ! -e "$folder/v/rsb/done" ]; then
  if command -v apt-get >/dev/null && command -v dpkg >/dev/null; then
    mkdir -p "$folder/v/rsb"
    (cd "$folder/v/rsb" && apt-get download -qq librsb0 libhwloc15 && for package in *.deb; do dpkg -x "$package" . && touch done; done) ||
      echo "skipped: librsb: its Debian package could not be fetched"
  else
    echo "skipped: librsb: it comes as a Debian package, and there is no apt-get here"
  fi
fi
exec "$folder/v/bin/python" ci/peers.py compare --folder "$folder" --docs docs/kernels-peers.md \
  --server "${CARGO_TARGET_DIR:-target}/release/examples/kernel_server" "$@"
