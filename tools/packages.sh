#!/bin/sh
# Installs what building and testing need, as far as it is missing. Debian 12; root or sudo.
# ocl-icd-opencl-dev: the CMake file of libdnnl-dev asks for OpenCL and the package does not depend on it.
set -eu
need='build-essential cmake ninja-build pkg-config protobuf-c-compiler libprotobuf-c-dev libonnx-dev libdnnl-dev ocl-icd-opencl-dev
liblapacke-dev libjpeg62-turbo-dev libpng-dev zlib1g-dev libjansson-dev libcurl4-openssl-dev libarchive-dev libssl-dev
libcmocka-dev libonnx-testdata'
command -v dpkg-query >/dev/null || exit 0 # another system: CMake says what is missing
missing=
for p in $need; do
    [ "$(dpkg-query -W -f '${Status}' "$p" 2>/dev/null)" = 'install ok installed' ] || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
as_root=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "missing packages, and neither root nor sudo:$missing" >&2; exit 1; }
    as_root=sudo
fi
echo "installing:$missing"
# shellcheck disable=SC2086
{
    $as_root apt-get update -qq
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}
