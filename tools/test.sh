#!/bin/sh
# Builds and tests everything: release with all tests, then address and undefined-behaviour sanitizers. The last line
# is "N passed, N failed"; the exit status is 0 only when nothing failed.
set -eu
cd "$(dirname "$0")/.."
jobs=$(nproc)
passed=0 failed=0

# A build that fails counts as one failed test: the rest would say nothing.
suite() { # preset, further arguments of ctest
    preset=$1
    shift
    log=build/test-$preset.log
    mkdir -p build
    echo "== $preset: build"
    if ! { cmake --preset "$preset" && cmake --build --preset "$preset" -j "$jobs"; } >"$log" 2>&1; then
        tail -60 "$log"
        failed=$((failed + 1))
        return
    fi
    echo "== $preset: test"
    ctest --preset "$preset" -j "$jobs" --no-tests=error "$@" >"$log" 2>&1 || true
    grep -vE '^ *(Start|[0-9]+/[0-9]+ .*(Passed|Skipped))|^$' "$log" || true
    # "97% tests passed, 1 tests failed out of 30"
    summary=$(sed -n 's/^[0-9]*% tests passed, \([0-9]*\) tests failed out of \([0-9]*\)$/\1 \2/p' "$log")
    if [ -z "$summary" ]; then
        failed=$((failed + 1))
        return
    fi
    failed=$((failed + ${summary% *}))
    passed=$((passed + ${summary#* } - ${summary% *}))
}

suite release
suite asan
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
