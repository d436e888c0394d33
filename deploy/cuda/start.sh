#!/usr/bin/env bash
# Unpacks the parts beside it, once, and runs the check: start.sh [OPTIONS of deploy/cuda/check.sh]. Of what `check.sh --pack --lean` makes.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
called=$PWD
cd "$here"
if [ ! -d unpacked ]; then
  sha256sum --check --quiet parts.sha256 || {
    echo "start.sh: expected all parts of parts.sha256 beside this file, got those above. Copy them again" >&2
    exit 1
  }
  rm -rf unpacking
  mkdir unpacking
  unpack='import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.stdin.buffer), sys.stdout.buffer, 1 << 20)'
  if command -v xz >/dev/null; then decompress=(xz -dc); else decompress=(python3 -c "$unpack"); fi
  cat part-* | "${decompress[@]}" | tar -C unpacking -x
  mv unpacking unpacked
fi
# Files that options name are the caller's.
cd "$called"
exec "$here/unpacked/hyperpolicy/deploy/cuda/check.sh" "$@"
