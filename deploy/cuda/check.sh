#!/usr/bin/env bash
# Checks this project on a machine with a GPU: every kind of package served there answers as on the CPU, how fast, training on the device
# beside the CPU's, and memory over ten version swaps. One JSON line for each, as it comes; exits with 1 where something does not hold.
#
#   deploy/cuda/check.sh [--device cuda|webgpu|cpu] [--only SECTIONS] [--json FILE] [--quick]
#                        [--deadline SECONDS] [--cpu-curve train|none|FILE]
#
#     --device     cuda unless given. webgpu needs a Vulkan loader and driver, and has no training
#     --only       some of serving,latencies,training,memory,webgpu. The last one serves every kind on webgpu too, beside cuda, where a
#                  Vulkan driver is found, and else says what is missing
#     --json       a file that gets the lines too
#     --quick      small networks and few rounds: whether everything works; its figures mean nothing
#     --deadline   480 unless given: what runs then is killed, and what is left is skipped, each with a line; the last line comes all the same
#     --cpu-curve  where the CPU's learning curve comes from: train, the default, after all else, for at most 160 s, mostly too short; none
#                  leaves it out; FILE is what another machine wrote in as much time as it takes there:
#                  deploy/cuda/check.sh --device cpu --only training --deadline 7200 --json FILE
#
#   deploy/cuda/check.sh --pack FOLDER [--without-cuda]
#
#     Makes a folder that the check runs from on a machine without network: needs npm ci, npm run build and, for CUDA's provider and
#     libraries (3 GB), the network. Copy FOLDER there and run FOLDER/deploy/cuda/check.sh. Both machines are Linux x64, with the same
#     major version of Node and, on the other one, the NVIDIA driver.
#
# Meant for under 8 minutes on a machine with 16 cores. That is an estimate: so far it ran on a CPU only. A section's seconds are in its line.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)

pack() {
  local folder cuda=$2
  # The installer works in another folder.
  folder=$(realpath -m "$1")
  if [ ! -f "$root/dist/test/bench/device/main.js" ]; then
    echo "check.sh: expected $root/dist/test/bench/device/main.js, got no file. Run npm run build first" >&2
    exit 1
  fi
  if [ -e "$folder" ]; then
    echo "check.sh: expected a folder that is not there yet, got $folder. Choose another, or remove it" >&2
    exit 1
  fi
  mkdir -p "$folder/deploy" "$folder/clients"
  cp -r "$root/package.json" "$root/package-lock.json" "$root/dist" "$root/node_modules" "$root/proto" "$folder/"
  cp -r "$root/clients/cli" "$folder/clients/"
  cp -r "$root/deploy/cuda" "$folder/deploy/"
  # What only development needs, and other systems' runtimes.
  (cd "$folder" && npm prune --silent --omit=dev --ignore-scripts --offline --no-audit --no-fund)
  local runtimes=$folder/node_modules/onnxruntime-node/bin/napi-v6
  rm -rf "$runtimes/darwin" "$runtimes/win32" "$runtimes/linux/arm64"
  [ "$cuda" = no ] || "$folder/deploy/cuda/install.sh" "$folder/.cuda" >/dev/null
  echo "check.sh: $folder is $(du -sh "$folder" | cut -f1). Copy it, and run its deploy/cuda/check.sh there" >&2
}

if [ "${1:-}" = --help ] || [ "${1:-}" = -h ]; then
  sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
  exit 0
fi

if [ "${1:-}" = --pack ]; then
  folder=${2:?check.sh: --pack: expected a folder, got none}
  case "${3:-}" in
    '') pack "$folder" yes ;;
    --without-cuda) pack "$folder" no ;;
    *) echo "check.sh: expected --without-cuda, got $3" >&2; exit 2 ;;
  esac
  exit 0
fi

for libraries in "$root/.cuda" "$root/node_modules/.cuda"; do
  if [ -d "$libraries" ]; then export LD_LIBRARY_PATH="$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"; fi
done
exec node "$root/dist/test/bench/device/main.js" "$@"
