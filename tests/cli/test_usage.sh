#!/bin/sh
# What every command has in common: help, unknown options, exit codes, where output goes. Usage: test_usage.sh PARE
set -u
pare=$1
. "$(dirname "$0")/lib.sh"

expect 2 "$pare"
expect 0 "$pare" --help
stdout_has 'Commands:'
expect 0 "$pare" --version
stdout_has '^pare [0-9]'
expect 2 "$pare" verfy a b
stderr_has "did you mean 'verify'"
expect 2 "$pare" xyzzyxyzzy
stderr_has "'pare help' lists them"

for verb in $("$pare" help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
    expect 0 "$pare" help "$verb"
    stdout_has '^Examples:'
    stdout_has "^Usage: pare $verb"
    expect 0 "$pare" "$verb" --help
    stdout_has "^Usage: pare $verb"
    expect 0 "$pare" "$verb" -h
    expect 2 "$pare" "$verb" --thredas 2
    stderr_has "pare: $verb: .*did you mean '--threads'"
    expect 2 "$pare" "$verb" --threads
    stderr_has 'needs a value'
    expect 2 "$pare" "$verb" --threads=many
    stderr_has "'many' is not a whole number"
    expect 2 "$pare" "$verb" --threads 1000000
    stderr_has 'is not within'
    expect 2 "$pare" "$verb" -Z
done
for verb in run bench eval verify compress; do
    expect 0 "$pare" help $verb
    stdout_has '^  --no-winograd'
    stdout_has '^  --no-integers'
done
expect 2 "$pare" verify one.onnx
stderr_has 'too few arguments'
expect 2 "$pare" verify one.onnx two.onnx three.onnx
stderr_has 'too many arguments'

# a missing file is an input/output error, a file that is no model an input error
expect 5 "$pare" verify missing.onnx missing.onnx
stderr_has "missing.onnx"
echo 'this is no model' >text.onnx
expect 4 "$pare" verify text.onnx text.onnx
stderr_has "text.onnx"
expect 5 "$pare" init lenet -o "$(printf '%250s' '' | tr ' ' a)"
stderr_has 'temporary name would be longer'
expect 5 "$pare" init lenet -o "$(printf '%5000s' '' | tr ' ' a)"
stderr_has 'File name too long'
# with little memory the program ends, whatever libraries make of it
for kib in 150000 200000 250000; do
    checks=$((checks + 1))
    (
        ulimit -v $kib && exec timeout 20 "$pare" version >stdout 2>stderr
    )
    [ $? != 124 ] || fail "'pare version' hangs with $kib KiB of memory"
done
printf 'PK\003\004rest' >zip.onnx
expect 4 "$pare" check zip.onnx
stderr_has "zip.onnx: it is no ONNX model but a ZIP archive"
expect 2 "$pare" verify text.onnx text.onnx --tolerance 0
stderr_has "0 is not within 1e-12 to 1000000"
: >empty.onnx
expect 4 "$pare" verify empty.onnx empty.onnx

# results that cannot be written are not a success
"$pare" help >/dev/full 2>stderr
[ $? = 5 ] || fail "a full disk under stdout is exit 5"
"$pare" doctor --json >&- 2>stderr
[ $? = 5 ] || fail "a closed stdout is exit 5"
stderr_has 'standard output'
{ "$pare" help --man; echo $? >code; } 2>stderr | true
case $(cat code) in 0 | 5) ;; *) fail "a closed pipe is exit 0 or 5, not $(cat code)" ;; esac

# the generated documents
expect 0 "$pare" help --man
stdout_has '^.TH PARE 1'
for name in PARE_CPU PARE_TUNE PARE_ORT XDG_CACHE_HOME; do stdout_has "^$name$"; done
expect 0 "$pare" help --bash
stdout_has 'complete -o filenames -F _pare pare'
expect 0 "$pare" help --zsh
stdout_has '^#compdef pare'
expect 0 "$pare" doctor --json
json_keys version cpu isa threads memory_bytes libraries
expect 0 "$pare" version --json
json_keys version
for family in methods codecs operators kernels; do
    expect 0 "$pare" list "$family" --json
    json_keys "$family" name summary
done
expect 2 "$pare" list nonsense
expect 0 "$pare" list methods
stdout_has '^  min_density .* (0 to 1, default 0.01; per layer)$'
stdout_has '^  steps '
expect 0 "$pare" list methods --json
json_keys options default per_layer

# data: nothing is fetched here (the unit tests have a server); port 9 answers nobody
expect 2 "$pare" data get mnist
stderr_has '\--to'
expect 2 "$pare" data get nonsense --to x
stderr_has 'fashion-mnist'
expect 2 "$pare" data put mnist --to x
expect 5 "$pare" data get mnist --to x --from http://127.0.0.1:9
expect 5 "$pare" data get mnist --to x --from file:///etc
finish
