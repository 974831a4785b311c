#!/usr/bin/env bash
# Installs NVRTC, the CUDA compiler as a library, into target/nvrtc, so that every CUDA program can be compiled on a machine
# without a GPU and without a driver. Needs pip; does nothing when the library is there. `ci/test.sh` calls it.
set -euo pipefail
cd "$(dirname "$0")/.."

library=target/nvrtc/nvidia/cu13/lib/libnvrtc.so.13
if [ -e "$library" ]; then
  echo "NVRTC is in target/nvrtc"
  exit 0
fi
if ! command -v python3 >/dev/null || ! python3 -m pip --version >/dev/null 2>&1; then
  echo "NVRTC is not installed: there is no pip" >&2
  exit 1
fi
part=target/nvrtc.part
rm -rf "$part"
python3 -m pip install --quiet --no-deps --disable-pip-version-check --target "$part" 'nvidia-cuda-nvrtc>=13,<14'
rm -rf target/nvrtc
mv "$part" target/nvrtc
[ -e "$library" ] || { echo "the package nvidia-cuda-nvrtc holds no $library" >&2; exit 1; }
echo "NVRTC was installed into target/nvrtc"
