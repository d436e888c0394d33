#!/usr/bin/env bash
# Brings ONNX Runtime's CUDA provider beside onnxruntime-node's library, from the PyPI wheel of the same version, with the CUDA and
# cuDNN libraries that it needs. Afterwards `--device cuda` works where NVIDIA's driver is there, of version 580 or newer: CUDA 13 needs it.
#
#   deploy/cuda/install.sh [FOLDER]         FOLDER holds NVIDIA's libraries, about 3 GB; node_modules/.cuda unless given
#   deploy/cuda/install.sh --provider-only  without them: where they are there otherwise, as beside PyTorch
#
# After npm ci in a checkout, or npm install in a project that has this package (there: node_modules/hyperpolicy/deploy/cuda/install.sh).
# Needs python3 with pip. It prints the LD_LIBRARY_PATH to set, and on standard error what the
# provider's libraries resolve to, with a warning where nvidia-smi tells of an older driver.
set -euo pipefail
cd "$(dirname "$0")/../.."
# Up to whose node_modules have the runtime: this package's own, or those of the project that it is installed in.
top=$PWD
while [ ! -d "$top/node_modules/onnxruntime-node" ] && [ "$top" != / ]; do top=$(dirname "$top"); done
cd "$top"

target=node_modules/onnxruntime-node/bin/napi-v6/linux/x64
is_provider_only=no
if [ "${1:-}" = --provider-only ]; then
  is_provider_only=yes
  shift
fi
folder=$(realpath -m "${1:-node_modules/.cuda}")
# What the provider links, CUDA 13, and what it loads by name: cuDNN 9 and cuFFT. The driver is the oldest that CUDA 13 runs on.
driver_min=580
cuda_wheels=("nvidia-cublas==13.*" "nvidia-cuda-runtime==13.*" "nvidia-cufft==12.*" "nvidia-curand==10.*"
  "nvidia-cuda-nvrtc==13.*" "nvidia-nvjitlink==13.*" "nvidia-cudnn-cu13==9.*")

if [ ! -f "$target/libonnxruntime.so.1" ]; then
  echo "install.sh: expected $target/libonnxruntime.so.1, got no file. Run npm ci first, on Linux x64" >&2
  exit 1
fi
version=$(node -p "require('onnxruntime-node/package.json').version")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# The wheel's Python does not matter: only its libraries are used.
fetch() {
  python3 -m pip download --quiet --no-deps --only-binary=:all: --dest "$scratch" \
    --python-version 3.11 --implementation cp --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 \
    --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 "$@"
}
if [ "$is_provider_only" = yes ]; then cuda_wheels=(); fi
fetch "onnxruntime-gpu==$version" "${cuda_wheels[@]}"
for wheel in "$scratch"/*.whl; do
  python3 -m zipfile -e "$wheel" "$scratch/unpacked"
done

cp "$scratch"/unpacked/onnxruntime/capi/libonnxruntime_providers_{shared,cuda}.so "$target/"
if [ "$is_provider_only" = yes ]; then exit 0; fi
mkdir -p "$folder"
find "$scratch/unpacked/nvidia" -name '*.so*' -exec mv -t "$folder" {} +

# A library that is still missing, but for the driver's own, is an error here and not at the first request.
found=$(LD_LIBRARY_PATH="$folder" ldd "$target/libonnxruntime_providers_cuda.so" | sed 's/ (0x[0-9a-f]*)$//')
echo "$found" >&2
missing=$(echo "$found" | grep 'not found' | grep -v 'libcuda.so.1' || true)
if [ -n "$missing" ]; then
  echo "install.sh: expected every library of the CUDA provider, got none for:" >&2
  echo "$missing" >&2
  exit 1
fi
# The machine that installs may be another one than the one that runs.
driver=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | head -n 1 || true)
if [[ "$driver" =~ ^([0-9]+)\. ]] && [ "${BASH_REMATCH[1]}" -lt "$driver_min" ]; then
  echo "install.sh: warning: expected NVIDIA driver $driver_min or newer, which CUDA 13 needs, got $driver: --device cuda will not load here" >&2
fi
# shellcheck disable=SC2016 # The shell that reads the line expands it.
printf 'export LD_LIBRARY_PATH=%q${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}\n' "$folder"
