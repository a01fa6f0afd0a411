#!/bin/sh
# Installs into a folder of its own and builds examples/classify.c against the result: in C and in C++, with the
# shared library by pkg-config and by CMake, with the static one by both. Usage: test_install.sh PARE
set -eu
pare=$1
build=$(cd "$(dirname "$pare")" && pwd)
source=$(cd "$(dirname "$0")/../.." && pwd)
if grep -q '^PARE_SANITIZE:STRING=..*' "$build/CMakeCache.txt"; then
    echo "skipped: programs cannot link a sanitized library without the sanitizer"
    exit 0
fi
command -v c++ >/dev/null || { echo "no C++ compiler"; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; exit 1; }

cmake --install "$build" --prefix "$work/root" >"$work/log" 2>&1 || { cat "$work/log"; fail "cmake --install"; }
root=$work/root
lib=$(dirname "$(find "$root" -name libpare.a)")
for f in bin/pare include/pare/pare.h share/man/man1/pare.1 share/bash-completion/completions/pare \
    share/zsh/site-functions/_pare; do
    [ -s "$root/$f" ] || fail "$f is missing"
done
"$root/bin/pare" version | grep -q '^pare [0-9]' || fail "the installed program does not run"
sh -n "$root/share/bash-completion/completions/pare" 2>/dev/null || command -v bash >/dev/null || exit 1

# exported: what the headers mark, nothing else
nm -D --defined-only "$lib/libpare.so" | awk '{ sub(/@.*/, "", $3); print $3 }' | sort >"$work/exported"
sed -n 's/.*\(pare_[a-z0-9_]*\)(.*/\1/p' "$root"/include/pare/*.h | sort -u >"$work/declared"
grep -v '^pare_' "$work/exported" && fail "the shared library exports foreign names"
comm -23 "$work/exported" "$work/declared" >"$work/extra"
[ ! -s "$work/extra" ] || { cat "$work/extra"; fail "exported, but in no public header"; }

# the prefix of an installation is set when configuring; here it is another
sed "s|^prefix=.*|prefix=$root|; s|^libdir=.*|libdir=$lib|; s|^includedir=.*|includedir=$root/include|" \
    "$lib/pkgconfig/pare.pc" >"$work/pare.pc"
PKG_CONFIG_PATH=$work${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
export PKG_CONFIG_PATH
cp "$source/examples/classify.c" "$work/classify.c"
cp "$source/examples/classify.c" "$work/classify.cpp"
cd "$work"
cflags=$(pkg-config --cflags pare)
shared=$(pkg-config --libs pare)
static=$(pkg-config --static --libs pare | sed 's|-lpare|-Wl,-Bstatic -lpare -Wl,-Bdynamic|')
# shellcheck disable=SC2086
{
    cc -std=c11 -Wall -Wextra -Wpedantic -Werror $cflags classify.c $shared -o c_shared || fail "C, shared"
    c++ -std=c++11 -Wall -Wextra -Werror $cflags classify.cpp $shared -o cpp_shared || fail "C++, shared"
    cc -std=c11 $cflags classify.c $static -o c_static || fail "C, static"
    c++ -std=c++11 $cflags classify.cpp $static -o cpp_static || fail "C++, static"
    for h in "$root"/include/pare/*.h; do # each header alone
        cc -std=c11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only $cflags -x c "$h" || fail "$h in C"
        c++ -std=c++11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only $cflags -x c++ "$h" || fail "$h in C++"
    done
}
mkdir cm
cat >cm/CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.25)
project(user LANGUAGES C CXX)
find_package(pare 0.1 REQUIRED COMPONENTS static)
add_executable(cm_shared ../classify.c)
target_link_libraries(cm_shared PRIVATE pare::pare)
add_executable(cm_static ../classify.cpp)
target_link_libraries(cm_static PRIVATE pare::pare_static)
END
{ cmake -S cm -B cm/build -DCMAKE_PREFIX_PATH="$root" && cmake --build cm/build; } >log 2>&1 || { cat log; fail "CMake package"; }

"$root/bin/pare" init lenet -o net.onnx --quiet >/dev/null
for p in ./c_shared ./cpp_shared ./c_static ./cpp_static cm/build/cm_shared cm/build/cm_static; do
    LD_LIBRARY_PATH=$lib $p net.onnx >out || fail "$p"
    grep -q '^class [0-9]' out || fail "$p printed $(cat out)"
done
ldd c_static cm/build/cm_static | grep -q libpare && fail "a static program needs the shared library"
echo "installed tree: 6 programs built and run"
