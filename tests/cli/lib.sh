# Shared by the scripts of this folder: a scratch folder to work in, and checks that say what failed. Sourced, with
# $pare set. Every check goes on after a failure; finish() decides the exit status.
case $pare in /*) ;; *) pare=$PWD/$pare ;; esac
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export PARE_TUNE=off # what the user measured stays as it is
failures=0
checks=0
last=

fail() {
    failures=$((failures + 1))
    echo "FAILED: $*"
    [ -s stderr ] && sed 's/^/    /' stderr
    return 0
}

# expect CODE COMMAND...: runs it, output in the files stdout and stderr, and compares the exit code.
expect() {
    want=$1
    shift
    last=$*
    checks=$((checks + 1))
    "$@" >stdout 2>stderr
    got=$?
    [ "$got" = "$want" ] || fail "exit $got, not $want: $last"
}

stdout_has() { checks=$((checks + 1)); grep -qe "$1" stdout || fail "no '$1' on stdout: $last"; }
stderr_has() { checks=$((checks + 1)); grep -qe "$1" stderr || fail "no '$1' on stderr: $last"; }

# json_keys KEY...: stdout is one JSON object that has these keys somewhere.
json_keys() {
    checks=$((checks + 1))
    [ "$(head -c 1 stdout)" = '{' ] && [ "$(tail -c 2 stdout)" = '}' ] || fail "stdout is no JSON object: $last"
    for key; do grep -q "\"$key\":" stdout || fail "no key '$key': $last"; done
}

# json_value KEY: the first scalar of that key.
json_value() { sed -n "s/^ *\"$1\": \(.*[^,]\),\{0,1\}\$/\1/p" stdout | head -n 1; }

finish() {
    echo "$checks checks, $failures failures"
    [ "$failures" = 0 ]
}

# npy FILE DESCR SHAPE BYTES: a .npy file of zeros, SHAPE as in "(1, 3, 8, 8)".
npy() {
    header="{'descr': '$2', 'fortran_order': False, 'shape': $3, }"
    pad=$(((64 - (10 + ${#header} + 1) % 64) % 64))
    length=$((${#header} + pad + 1))
    {
        printf '\223NUMPY\001\000'
        # shellcheck disable=SC2059
        printf "\\$(printf '%03o' $((length % 256)))\\$(printf '%03o' $((length / 256)))"
        printf "%s%${pad}s\n" "$header" ''
        head -c "$4" /dev/zero
    } >"$1"
}
