#!/usr/bin/env bash
# Checks this project on a machine with a GPU: every kind of package served there answers as on the CPU, how fast, training on the device
# beside the CPU's, and memory over ten version swaps. One JSON line for each, as it comes; exits with 1 where something does not hold.
#
#   deploy/cuda/check.sh [--device cuda|webgpu|cpu] [--only SECTIONS] [--json FILE] [--quick]
#                        [--deadline SECONDS] [--cpu-curve train|none|FILE]
#
#     --device     cuda unless given. webgpu needs a Vulkan loader and driver, and has no training
#     --only       some of serving,latencies,training,memory,placement,webgpu. Placement tells which operators ran on the device, and which
#                  on the CPU. The last one serves every kind on webgpu too, beside cuda, where a Vulkan driver is found, and else says
#                  what is missing
#     --json       a file that gets the lines too
#     --quick      small networks and few rounds: whether everything works; its figures mean nothing
#     --deadline   480 unless given: what runs then is killed, and what is left is skipped, each with a line; the last line comes all the same
#     --cpu-curve  where the CPU's learning curve comes from: train, the default, after all else, for at most 160 s, mostly too short; none
#                  leaves it out; FILE is what another machine wrote in as much time as it takes there:
#                  deploy/cuda/check.sh --device cpu --only training --deadline 7200 --json FILE
#
# Before all else the device runs a small graph, in two to three minutes at most; where it does not, what needs it is left out.
#
#   deploy/cuda/check.sh --pack FOLDER [--without-cuda]
#
#     Makes a folder that the check runs from on a machine without network: needs npm ci, npm run build and, for CUDA's provider and
#     libraries (3 GB, unless node_modules/.cuda has them), the network. Copy FOLDER there and run FOLDER/deploy/cuda/check.sh. Both
#     machines are Linux x64, with the same major version of Node and, on the other one, the NVIDIA driver.
#
#   deploy/cuda/check.sh --pack FOLDER --lean [--without-cuda] [--architecture 90]
#
#     The same in parts of at most 48 MiB, for narrow ways. They have Node and the CUDA provider with the code of one GPU architecture alone
#     (90: H100, H200), and not NVIDIA's libraries, which the other machine has beside a PyTorch of the same CUDA version. Copy the parts,
#     parts.sha256 and start.sh into one folder there, in as many transfers as it takes, and run start.sh with the options above. The
#     folder may have an older pack. It needs bash, tar, and xz or Python. Before it is compressed, the pack runs serving and training on this machine's CPU.
#
# Meant for under 8 minutes on a machine with 16 cores. That is an estimate: so far it ran on a CPU only. A section's seconds are in its line.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
runtimes=node_modules/onnxruntime-node/bin/napi-v6
provider=$runtimes/linux/x64/libonnxruntime_providers_cuda.so

refuse() {
  echo "check.sh: $1" >&2
  exit "${2:-1}"
}

# Copies what the check runs from, without what only development needs. node_modules may be a link.
copy_tree() {
  local folder=$1 omitted=${2:-}
  mkdir -p "$folder"
  tar -C "$root" --dereference --exclude=node_modules/.cuda --exclude=node_modules/.bin \
    --exclude="$runtimes/darwin" --exclude="$runtimes/win32" --exclude="$runtimes/linux/arm64" \
    -c package.json package-lock.json dist node_modules proto clients/cli deploy/cuda | tar -C "$folder" -x
  # shellcheck disable=SC2086 # None, or one more option.
  (cd "$folder" && npm prune --silent --omit=dev $omitted --ignore-scripts --offline --no-audit --no-fund)
  git -C "$root" describe --always --dirty=+ >"$folder/revision" 2>/dev/null || rm "$folder/revision"
}

pack() {
  local folder=$1 cuda=$2
  copy_tree "$folder"
  if [ "$cuda" = no ]; then
    :
  elif [ -d "$root/node_modules/.cuda" ] && [ -e "$folder/$provider" ]; then
    cp -rL "$root/node_modules/.cuda" "$folder/.cuda"
  else
    "$folder/deploy/cuda/install.sh" "$folder/.cuda" >/dev/null
  fi
  echo "check.sh: $folder is $(du -sh "$folder" | cut -f1). Copy it, and run its deploy/cuda/check.sh there" >&2
}

pack_lean() {
  local folder=$1 cuda=$2 architecture=$3 tree name path
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  tree=$scratch/hyperpolicy
  copy_tree "$tree" --omit=optional
  # Drawings are imported where they are drawn. The rest is for readers and debuggers.
  rm -rf "$tree"/node_modules/{vega*,@resvg,d3-*,topojson-client} "$tree/dist/client-package" "$tree/dist/.tsbuildinfo"
  find "$tree" -type f \( -name '*.map' -o -name '*.ts' -o -name '*.md' -o -name '*.min.js' \) -delete
  mkdir "$tree/.node" "$tree/.vulkan"
  cp -L "$(command -v node)" "$tree/.node/node"
  # The loader, where this machine has it. The driver is the other machine's.
  for name in libvulkan.so.1 libGLdispatch.so.0 libEGL.so.1 libGLX.so.0; do
    path=$(ldconfig -p 2>/dev/null | sed -n "s/^.*$name .*x86-64.*=> //p" | head -1 || true)
    if [ -n "$path" ]; then cp -L "$path" "$tree/.vulkan/$name"; fi
  done
  # The others are of use to the loader alone.
  [ -e "$tree/.vulkan/libvulkan.so.1" ] || rm -r "$tree/.vulkan"
  if [ "$cuda" = yes ]; then
    [ -e "$tree/$provider" ] || "$tree/deploy/cuda/install.sh" --provider-only
    python3 "$tree/deploy/cuda/shrink-provider.py" "$tree/$provider" "$architecture"
  else
    rm -f "$tree/$provider"
  fi
  "$tree/deploy/cuda/check.sh" --device cpu --quick --only serving,training >"$scratch/lines" 2>&1 || {
    cat "$scratch/lines" >&2
    refuse "the pack does not hold on the CPU. Its lines are above"
  }
  mkdir -p "$folder"
  tar -C "$scratch" --owner=0 --group=0 -c hyperpolicy | xz -9 -T0 | split -b 48M -d - "$folder/part-"
  (cd "$folder" && sha256sum part-* >parts.sha256)
  cp "$root/deploy/cuda/start.sh" "$folder/start.sh"
  echo "check.sh: $folder has $(ls "$folder"/part-* | wc -l) parts, $(du -shc "$folder"/part-* | tail -1 | cut -f1) together. Copy them with start.sh and parts.sha256, and run start.sh there" >&2
}

if [ "${1:-}" = --help ] || [ "${1:-}" = -h ]; then
  sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
  exit 0
fi

if [ "${1:-}" = --pack ]; then
  # The installer works in another folder.
  folder=$(realpath -m "${2:?check.sh: --pack: expected a folder, got none}")
  shift 2
  cuda=yes lean=no architecture=90
  while [ $# -gt 0 ]; do
    case "$1" in
      --without-cuda) cuda=no ;;
      --lean) lean=yes ;;
      --architecture)
        [[ "${2:-}" =~ ^[0-9]+$ ]] || refuse "--architecture: expected a number such as 90, got ${2:-none}" 2
        architecture=$2
        shift
        ;;
      *) refuse "expected --without-cuda, --lean or --architecture, got $1" 2 ;;
    esac
    shift
  done
  if [ ! -f "$root/dist/test/bench/device/main.js" ]; then
    refuse "expected $root/dist/test/bench/device/main.js, got no file. Run npm run build first"
  fi
  if [ -e "$folder" ]; then
    refuse "expected a folder that is not there yet, got $folder. Choose another, or remove it"
  fi
  if [ "$lean" = yes ]; then pack_lean "$folder" "$cuda" "$architecture"; else pack "$folder" "$cuda"; fi
  exit 0
fi

# Where NVIDIA's libraries lie: those that install.sh brought, else those beside a Python's PyTorch.
nvidia_libraries() {
  local folder
  for folder in "$root/.cuda" "$root/node_modules/.cuda"; do
    if [ -d "$folder" ]; then echo "$folder" && return; fi
  done
  python3 - 2>/dev/null <<'PYTHON' || true
import glob, importlib.util
spec = importlib.util.find_spec("nvidia")
roots = spec.submodule_search_locations if spec else []
print(":".join(sorted(path for root in roots for path in glob.glob(root + "/*/lib"))))
PYTHON
}

add_libraries() {
  if [ -n "$1" ]; then export LD_LIBRARY_PATH="$1${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"; fi
}

# The path of a library that is loaded by name; nothing where there is none.
find_library() {
  local folder folders
  IFS=: read -ra folders <<<"${LD_LIBRARY_PATH:-}"
  for folder in "${folders[@]}"; do
    if [ -n "$folder" ] && [ -e "$folder/$1" ]; then echo "$folder/$1" && return; fi
  done
  ldconfig -p 2>/dev/null | sed -n "s/^[[:space:]]*$1 .*x86-64.*=> //p" | head -1 || true
}

if [ -x "$root/.node/node" ]; then export PATH="$root/.node:$PATH"; fi
if [ -f "$root/revision" ]; then CHECK_REVISION=$(cat "$root/revision") && export CHECK_REVISION; fi
add_libraries "$(nvidia_libraries)"
if [ -d "$root/.vulkan" ] && [[ "$(ldconfig -p 2>/dev/null)" != *libvulkan.so.1* ]]; then add_libraries "$root/.vulkan"; fi
# Where containers have NVIDIA's driver. An image may not say so to its loader.
known="$(ldconfig -p 2>/dev/null || true)${LD_LIBRARY_PATH:-}"
if [ -d /usr/local/nvidia/lib64 ] && [[ "$known" != *libcuda.so.1* && "$known" != */nvidia/lib64* ]]; then
  export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}/usr/local/nvidia/lib64"
fi
driver=/usr/local/nvidia/share/vulkan/icd.d/nvidia_icd.json
if [ -z "${VK_DRIVER_FILES:-}${VK_ICD_FILENAMES:-}" ] && [ -f "$driver" ]; then export VK_DRIVER_FILES="$driver"; fi
if [ -f "$root/$provider" ]; then
  resolved=$(ldd "$root/$provider" || true)
  missing=$(sed -n 's/^[[:space:]]*\(.*\) => not found$/\1/p' <<<"$resolved" | paste -sd ' ')
  libraries=$(sed -n 's/^[[:space:]]*libcu.* => \(\/.*\) (0x.*$/\1/p' <<<"$resolved" | paste -sd ' ')
  # The provider loads it by name in a graph's first run.
  cudnn=$(find_library libcudnn.so.9)
  if [ -z "$cudnn" ]; then missing="${missing:+$missing }libcudnn.so.9"; fi
  export CHECK_LIBRARIES="${libraries:+$libraries }$cudnn"
  if [ -n "$missing" ]; then
    echo "check.sh: the CUDA provider finds no $missing: --device cuda will fail, or refuse graphs" >&2
    export CHECK_MISSING="$missing"
  fi
fi
exec node "$root/dist/test/bench/device/main.js" "$@"
