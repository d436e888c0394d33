#!/usr/bin/env bash
# Installs the tensorflow engine: @tensorflow/tfjs-node with its native binding compiled here against the TensorFlow library of a
# PyPI wheel. Needs the npm and PyPI registries alone; for networks that lack the download of the package's own install script.
#
#   deploy/tensorflow/install.sh          CPU
#   deploy/tensorflow/install.sh --cuda   CUDA 12: @tensorflow/tfjs-node-gpu with NVIDIA's libraries, about 3 GB
#
# After npm ci in a checkout, or npm install in a project that has this package (there: node_modules/hyperpolicy/deploy/tensorflow/install.sh);
# either removes what it installed. Needs g++, and python3 with pip.
set -euo pipefail
cd "$(dirname "$0")/../.."
# Up to whose node_modules have TensorFlow's core: this package's own, or those of the project that it is installed in.
top=$PWD
while [ ! -d "$top/node_modules/@tensorflow/tfjs-core" ] && [ "$top" != / ]; do top=$(dirname "$top"); done
if [ "$top" = / ]; then
  echo "install.sh: expected @tensorflow/tfjs-core in node_modules of $PWD or above, got none. Run npm ci first" >&2
  exit 1
fi
cd "$top"

tfjs_version=4.22.0
tensorflow_version=2.15.1
# The wheel's Python does not matter: only its C libraries are used.
wheel_target=(--no-deps --only-binary=:all: --python-version 3.11 --implementation cp --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64)

package=@tensorflow/tfjs-node
wheels=("tensorflow-cpu==$tensorflow_version")
if [ "${1:-}" = --cuda ]; then
  package=@tensorflow/tfjs-node-gpu
  wheel_target+=(--platform manylinux1_x86_64)
  # The versions that TensorFlow names under "and-cuda".
  wheels=(
    "tensorflow==$tensorflow_version"
    nvidia-cublas-cu12==12.2.5.6 nvidia-cuda-cupti-cu12==12.2.142 nvidia-cuda-nvcc-cu12==12.2.140
    nvidia-cuda-nvrtc-cu12==12.2.140 nvidia-cuda-runtime-cu12==12.2.140 nvidia-cudnn-cu12==8.9.4.25
    nvidia-cufft-cu12==11.0.8.103 nvidia-curand-cu12==10.3.3.141 nvidia-cusolver-cu12==11.5.2.141
    nvidia-cusparse-cu12==12.1.2.141 nvidia-nccl-cu12==2.16.5 nvidia-nvjitlink-cu12==12.2.140
  )
elif [ $# -gt 0 ]; then
  echo "install.sh: expected nothing or --cuda, got \"$*\"" >&2
  exit 2
fi
for tool in g++ python3 npm; do
  command -v "$tool" >/dev/null || { echo "install.sh: expected $tool on the PATH, got none. Install it" >&2; exit 1; }
done

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

npm install --no-save --no-audit --no-fund --ignore-scripts "$package@$tfjs_version" node-api-headers@1.5.0
root=$PWD/node_modules/$package
python3 -m pip download --quiet --dest "$scratch" "${wheel_target[@]}" "${wheels[@]}"

# The TensorFlow libraries and headers, and NVIDIA's libraries beside them.
rm -rf "$root/deps"
mkdir -p "$root/deps/lib" "$root/lib/napi-v8"
for wheel in "$scratch"/*.whl; do
  python3 -m zipfile -e "$wheel" "$scratch/unpacked"
done
mv "$scratch"/unpacked/tensorflow/libtensorflow_{cc,framework}.so.2 "$root/deps/lib/"
mv "$scratch/unpacked/tensorflow/include" "$root/deps/include"
find "$scratch/unpacked/nvidia" -name '*.so*' -exec mv -t "$root/deps/lib" {} + 2>/dev/null || true

g++ -shared -fPIC -O2 -std=c++17 -DNAPI_VERSION=8 \
  -I "$PWD/node_modules/node-api-headers/include" -I "$root/deps/include" -I "$root/binding" \
  "$root"/binding/*.cc -o "$root/lib/napi-v8/tfjs_binding.node" \
  -L "$root/deps/lib" -l:libtensorflow_cc.so.2 -l:libtensorflow_framework.so.2 \
  -Wl,-rpath,'$ORIGIN/../../deps/lib'

# Loading it is the proof.
node --input-type=module -e "const { default: tf } = await import('$package'); console.log(tf.getBackend(), tf.version_core, tf.add(1, 2).dataSync()[0]);"
