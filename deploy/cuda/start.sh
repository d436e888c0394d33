#!/usr/bin/env bash
# Unpacks the parts beside it, once for each pack, and runs the check: start.sh [OPTIONS of deploy/cuda/check.sh]. Of what
# `check.sh --pack --lean` makes. A newer pack may be copied over an older one.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
called=$PWD
cd "$here"
# Without `cmp`, which small images lack.
if [ ! -f unpacked/parts.sha256 ] || [ "$(cat parts.sha256)" != "$(cat unpacked/parts.sha256)" ]; then
  sha256sum --check --quiet parts.sha256 || {
    echo "start.sh: expected all parts of parts.sha256 beside this file, got those above. Copy them again" >&2
    exit 1
  }
  rm -rf unpacking unpacked
  mkdir unpacking
  unpack='import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.stdin.buffer), sys.stdout.buffer, 1 << 20)'
  if command -v xz >/dev/null; then decompress=(xz -dc); else decompress=(python3 -c "$unpack"); fi
  # Those of the list alone: an older pack may have left more.
  while read -r _ part; do cat "$part"; done <parts.sha256 | "${decompress[@]}" | tar -C unpacking -x
  cp parts.sha256 unpacking/parts.sha256
  mv unpacking unpacked
fi
# Files that options name are the caller's.
cd "$called"
exec "$here/unpacked/hyperpolicy/deploy/cuda/check.sh" "$@"
