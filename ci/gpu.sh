#!/usr/bin/env bash
# The one command on a machine with an NVIDIA GPU, without network and without a Rust toolchain: are the CUDA programs right, how
# fast are they beside PyTorch on the same card, and a record with its reports and its certificate, or the reasons against one.
#
#   bash ci/gpu.sh [--binary FILE] [--out FOLDER] [--suite FILE] [--dry-run]
#
# Needs the wattproof binary (built elsewhere: `cargo build --profile dist`) and NVRTC; PyTorch for the comparison only. Says what is
# missing and goes on with the rest; exits non-zero when a step that could run failed. --dry-run looks for everything and runs nothing.
set -uo pipefail
cd "$(dirname "$0")/.."

binary='' out=target/gpu suite=suites/reference-gpu.yaml dry=0
while [ $# -gt 0 ]; do
  case $1 in
  --binary) binary=${2:?--binary needs a file} && shift 2 ;;
  --out) out=${2:?--out needs a folder} && shift 2 ;;
  --suite) suite=${2:?--suite needs a file} && shift 2 ;;
  --dry-run) dry=1 && shift ;;
  -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0" && exit 0 ;;
  *) echo "unknown argument: $1 (see --help)" >&2 && exit 2 ;;
  esac
done

missing=0 failed=0
need() { # need WHAT WHY: says that something is not here
  missing=$((missing + 1))
  printf 'missing: %s: %s\n' "$1" "$2"
}
step() { # step NAME COMMAND…
  local name=$1 start=$SECONDS code=0
  shift
  printf -- '--- %s\n' "$name"
  "$@" || code=$?
  [ "$code" -eq 0 ] || failed=$((failed + 1))
  printf -- '    %s (exit %d, %d s)\n' "$([ "$code" -eq 0 ] && echo ok || echo FAILED)" "$code" $((SECONDS - start))
}

if [ -z "$binary" ]; then
  for candidate in ./wattproof target/dist/wattproof target/release/wattproof "$(command -v wattproof || true)"; do
    [ -n "$candidate" ] && [ -x "$candidate" ] && binary=$candidate && break
  done
fi
[ -n "$binary" ] && [ -x "$binary" ] || { need "the wattproof binary" "build it elsewhere and name it with --binary"; binary=''; }
command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1 || need "an NVIDIA GPU" "nvidia-smi lists none"

# NVRTC: the library that CI installs, or the one that PyTorch brings.
if [ -z "${WATTPROOF_NVRTC:-}" ] && ! ldconfig -p 2>/dev/null | grep -q 'libnvrtc\.so'; then
  found=$(find target/nvrtc "$(python3 -c 'import site; print(site.getsitepackages()[0])' 2>/dev/null || echo /nonexistent)" \
    -name 'libnvrtc.so.1[23]' 2>/dev/null | sort -r | head -n 1)
  if [ -n "$found" ]; then export WATTPROOF_NVRTC=$found; else need "NVRTC" "pip install nvidia-cuda-nvrtc, or carry target/nvrtc here"; fi
fi
# The vendor's libraries, where nothing installed them: those that PyTorch brings.
site=$(python3 -c 'import site; print(site.getsitepackages()[0])' 2>/dev/null || echo /nonexistent)
for pair in CUBLASLT:libcublasLt CUSPARSE:libcusparse CUSPARSELT:libcusparseLt; do
  variable=WATTPROOF_${pair%%:*} library=${pair##*:}
  if [ -z "${!variable:-}" ] && ! ldconfig -p 2>/dev/null | grep -q "$library\.so"; then
    found=$(find "$site" -name "$library.so.*" 2>/dev/null | sort -r | head -n 1)
    if [ -n "$found" ]; then export "$variable=$found"; else need "$library" "its cases are skipped; name it in $variable"; fi
  fi
done
torch=1
python3 -c 'import torch, sys; sys.exit(0 if torch.cuda.is_available() else 1)' 2>/dev/null || torch=0
[ "$torch" -eq 1 ] || need "PyTorch with CUDA" "nothing is compared without it"

if [ "$dry" -eq 1 ]; then
  printf 'dry run: %d missing; nothing was run\n' "$missing"
  exit 0
fi
[ -n "$binary" ] || { printf 'nothing can run without the binary\n'; exit 1; }
binary=$(realpath "$binary")
mkdir -p "$out"
nvidia-smi -q >"$out/nvidia-smi.txt" 2>&1 || true
step "devices" "$binary" list devices
step "every answer against its f64 reference" "$binary" run "$suite" --verify
[ "$torch" -eq 1 ] && step "beside PyTorch" python3 ci/gpu_peers.py --binary "$binary" --out "$out/peers"
step "record" "$binary" run "$suite" --require energy --out "$out/record"
# A refusal is an answer as well: the bundle names what the record lacks.
certified() { # certified RECORD: a certificate, or the reasons against one
  local code=0
  [ -e "$out/key.pem" ] || "$binary" keygen "$out/key.pem" || return 1
  rm -rf "$out/certificate"
  "$binary" certify "$1" --sign "$out/key.pem" --out "$out/certificate" || code=$?
  [ "$code" -eq 0 ] || [ "$code" -eq 3 ] || [ "$code" -eq 4 ]
}
[ -e "$out/record/record.json" ] && step "certificate" certified "$out/record"
printf '%d missing, %d failed; results are in %s\n' "$missing" "$failed" "$out"
[ "$failed" -eq 0 ]
