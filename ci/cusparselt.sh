#!/usr/bin/env bash
# Compares what the product bound by hand of cuSPARSELt with the real thing, without a GPU: numbers and sizes with the header, and
# functions with the library, from the wheels that PyPI has (170 MB; headers of the CUDA runtime and of cuSPARSE beside them).
# Needs pip and a C compiler. `bash ci/cusparselt.sh [--keep]` removes the wheels afterwards unless told to keep them.
set -euo pipefail
cd "$(dirname "$0")/.."

keep=0
case ${1:-} in
--keep) keep=1 ;;
-h | --help) sed -n '2,4s/^# \{0,1\}//p' "$0" && exit 0 ;;
'') ;;
*) echo "unknown argument: $1 (see --help)" >&2 && exit 2 ;;
esac

source=src/backends/cuda/library/cusparselt.rs
home=target/cusparselt
if [ ! -e "$home/nvidia/cu13/include/cusparseLt.h" ]; then
  rm -rf "$home"
  python3 -m pip install --quiet --no-deps --disable-pip-version-check --target "$home" \
    'nvidia-cusparselt-cu13' 'nvidia-cuda-runtime>=13,<14' 'nvidia-cuda-crt>=13,<14'
fi
[ "$keep" -eq 1 ] || trap 'rm -rf "$home"' EXIT
include=$home/nvidia/cu13/include
library=$(find "$home" -name 'libcusparseLt.so.*' | head -n 1)
[ -n "$library" ] || { echo "the wheel holds no libcusparseLt.so" >&2; exit 1; }

number() { # number NAME: the value of a constant of the product
  local found
  found=$(sed -n "s/^const $1: [a-z_0-9]* = \([0-9_]*\);.*/\1/p" "$source" | tr -d _)
  [ -n "$found" ] || { echo "$source has no constant $1" >&2; exit 1; }
  printf '%s' "$found"
}

check=$home/check.c
{
  printf '#include <cusparseLt.h>\n#include <dlfcn.h>\n#include <stdio.h>\n'
  while read -r ours theirs; do
    printf '_Static_assert(%s == %s, "%s");\n' "$(number "$ours")" "$theirs" "$theirs"
  done <<'PAIRS'
ROW_MAJOR CUSPARSE_ORDER_ROW
AS_IT_IS CUSPARSE_OPERATION_NON_TRANSPOSE
TRANSPOSED CUSPARSE_OPERATION_TRANSPOSE
HALF CUSPARSELT_SPARSITY_50_PERCENT
DEFAULT CUSPARSELT_MATMUL_ALG_DEFAULT
ALGORITHM_ID CUSPARSELT_MATMUL_ALG_CONFIG_ID
COMPUTE_32I CUSPARSE_COMPUTE_32I
COMPUTE_32F CUSPARSE_COMPUTE_32F
R_16F CUDA_R_16F
R_8I CUDA_R_8I
R_32I CUDA_R_32I
R_16BF CUDA_R_16BF
PAIRS
  for type in Handle MatDescriptor MatmulDescriptor MatmulAlgSelection MatmulPlan; do
    printf '_Static_assert(sizeof(cusparseLt%s_t) <= %s, "size");\n' "$type" "$(number OPAQUE)"
    printf '_Static_assert(_Alignof(cusparseLt%s_t) <= 64, "alignment");\n' "$type"
  done
  printf '_Static_assert(sizeof(cusparseStatus_t) == sizeof(int), "enumerators are int");\n'
  printf 'int main(void) {\n  void *library = dlopen("%s", RTLD_NOW);\n' "$library"
  printf '  if (!library) { puts(dlerror()); return 1; }\n  int missing = 0;\n'
  for name in $(grep -o '"cusparseLt[A-Za-z]*" fn\|"cusparseLt[A-Za-z]*"$' "$source" | grep -o 'cusparseLt[A-Za-z]*' | sort -u); do
    printf '  if (!dlsym(library, "%s")) { puts("missing: %s"); missing = 1; }\n  (void)%s;\n' "$name" "$name" "sizeof(&$name)"
  done
  printf '  int v[3];\n  int (*get)(int, int *) = (int (*)(int, int *))dlsym(library, "cusparseLtGetProperty");\n'
  printf '  for (int i = 0; i < 3; ++i) if (get(i, &v[i])) return 1;\n'
  printf '  printf("cuSPARSELt %%d.%%d.%%d: numbers, sizes and functions agree\\n", v[0], v[1], v[2]);\n  return missing;\n}\n'
} >"$check"
grep -c dlsym "$check" | { read -r found; [ "$found" -ge 16 ] || { echo "only $found functions were found in $source" >&2; exit 1; }; }
# Functions take as many arguments as the header says.
python3 - "$source" "$include/cusparseLt.h" <<'PYTHON'
import re, sys
count = lambda arguments: len([a for a in arguments.split(",") if a.strip()])
ours = re.findall(r'"(cusparseLt\w+)"\s+fn\(([^)]*)\)', open(sys.argv[1]).read())
header = re.sub(r"//[^\n]*", "", open(sys.argv[2]).read())
for name, arguments in ours:
    theirs = re.search(rf"\b{name}\(([^)]*)\);", header)
    if not theirs or count(theirs.group(1)) != count(arguments):
        sys.exit(f"{name} takes other arguments than the product gives")
PYTHON
cc -std=c11 -Wall -Werror -isystem "$include" "$check" -o "$home/check" -ldl
"$home/check"
