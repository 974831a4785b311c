#!/usr/bin/env bash
# Compiles a crate of the project and lints it in the same go. ci/test.sh has cargo call it instead of rustc:
#   RUSTC_WORKSPACE_WRAPPER=ci/lint.sh cargo build …
# `cargo clippy` shares nothing with a build, so it would read every dependency once more: two minutes on two processors.
# A crate with findings counts as not compiled, so cargo looks at it again next time.
set -uo pipefail

"$@" || exit
case " $* " in
*' --emit='*) ;;
*) exit 0 ;; # cargo only asks rustc about itself
esac

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
arguments=()
while [ $# -gt 0 ]; do
  case "$1" in
  # Findings need no machine code, and nothing may land where cargo looks for what rustc has made.
  --emit=*) arguments+=(--emit=metadata) ;;
  --out-dir) arguments+=(--out-dir "$out") && shift ;;
  --json=*) arguments+=("${1/,artifacts/}") ;;
  incremental=*) arguments+=("incremental=$out/incremental") ;;
  *) arguments+=("$1") ;;
  esac
  shift
done
clippy-driver "${arguments[@]}" -D warnings
