#!/usr/bin/env bash
# Compiles a crate of the project, lints it and reads its documentation in the same go. ci/test.sh has cargo call it instead of rustc:
#   RUSTC_WORKSPACE_WRAPPER=ci/lint.sh cargo build …
# `cargo clippy` and `cargo doc` share nothing with a build, so they would read every dependency once more: two minutes on two
# processors. A crate with findings counts as not compiled, so cargo looks at it again next time.
set -uo pipefail

"$@" || exit
case " $* " in
*' --emit='*) ;;
*) exit 0 ;; # cargo only asks rustc about itself
esac
# The library as others use it has documentation; programs and tests have none.
documented=0
case " $* " in
*' --test '*) ;;
*' --crate-type lib '* | *' --crate-type=lib '*) documented=1 ;;
esac

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
arguments=()
while [ $# -gt 0 ]; do
  case "$1" in
  # Findings need no machine code, and nothing may land where cargo looks for what rustc has made.
  --emit=*) ;;
  --out-dir) arguments+=(--out-dir "$out") && shift ;;
  --json=*) arguments+=("${1/,artifacts/}") ;;
  incremental=*) arguments+=("incremental=$out/incremental") ;;
  *) arguments+=("$1") ;;
  esac
  shift
done
clippy-driver "${arguments[@]}" --emit=metadata -D warnings || exit
[ "$documented" -eq 0 ] || rustdoc "${arguments[@]:1}" -D warnings
