#!/bin/sh
# run on tensors and pictures. Usage: test_run.sh PARE
set -u
pare=$1
. "$(dirname "$0")/lib.sh"

expect 0 "$pare" init lenet -o net.onnx
npy x.npy '<f4' '(3, 1, 28, 28)' $((3 * 28 * 28 * 4))
expect 0 "$pare" run net.onnx --in x.npy
stdout_has 'float32 \[3,10\]'
expect 0 "$pare" run net.onnx --in input=x.npy --out results --json
json_keys file outputs name dtype shape
output=$(json_value name | tr -d '"')
[ -f "results/$output.npy" ] || fail "results/$output.npy is missing: $(ls results)"
# header, then 3 x 10 float32
[ "$(($(wc -c <"results/$output.npy") % 64))" = $((120 % 64)) ] || fail "the size of the .npy file is odd"
head -c 6 "results/$output.npy" | tail -c 5 | grep -q NUMPY || fail "no .npy file"
cp "results/$output.npy" first.npy
expect 2 "$pare" run net.onnx --in x.npy --out results
stderr_has '\--force'
cmp -s first.npy "results/$output.npy" || fail "a refused run changed its output"
for threads in 1 3; do
    expect 0 "$pare" run net.onnx --in x.npy --out results --force --threads $threads
    cmp -s first.npy "results/$output.npy" || fail "$threads threads change the result"
done
expect 0 "$pare" run net.onnx --in x.npy --top 3 --json
json_keys results top class label score probability
expect 0 "$pare" run net.onnx --in x.npy --force-impl 'reference*' --out plain

expect 0 "$pare" run net.onnx x.npy --out positional
cmp -s results/*.npy positional/*.npy || fail "an argument X.npy is not --in X.npy"
expect 2 "$pare" run net.onnx x.npy cat.jpg
stderr_has "either pictures or tensors"

expect 2 "$pare" run net.onnx x.npy --labels x.npy
stderr_has '\--labels would change nothing'
expect 2 "$pare" run net.onnx x.npy --mean 1
stderr_has '\--mean would change nothing'
expect 2 "$pare" run net.onnx x.npy --skip 1
expect 0 "$pare" run net.onnx x.npy --top 2 --skip 1
expect 2 "$pare" run net.onnx cat.jpg --batch 2
stderr_has 'pictures run one at a time'

expect 2 "$pare" run net.onnx
stderr_has "input 'input' is missing"
expect 2 "$pare" run net.onnx --in other=x.npy
expect 5 "$pare" run net.onnx --in missing.npy
expect 5 "$pare" run missing.onnx --in x.npy
expect 2 "$pare" run net.onnx --in x.npy --in x.npy
npy small.npy '<f4' '(1, 1, 5, 5)' 100
expect 2 "$pare" run net.onnx --in small.npy
npy short.npy '<f4' '(3, 1, 28, 28)' 100
expect 4 "$pare" run net.onnx --in short.npy
npy double.npy '<f8' '(1, 1, 28, 28)' $((28 * 28 * 8))
expect 2 "$pare" run net.onnx --in double.npy
echo text >text.npy
expect 4 "$pare" run net.onnx --in text.npy
expect 2 "$pare" run net.onnx --in x.npy --shape 1x2xq
(
    ulimit -f 0
    trap '' XFSZ
    "$pare" run net.onnx --in x.npy --out full 2>&1 | grep -q 'cannot write' || exit 1
) || fail "a full disk is not reported"
[ -z "$(ls full 2>/dev/null)" ] || fail "a full disk left a partial file: $(ls full)"

expect 2 "$pare" run net.onnx --in x.npy --out ''
stderr_has 'name of a folder is empty'
expect 2 "$pare" run net.onnx --in double.npy --out wrong
[ ! -e wrong ] || fail "a refused input left a folder"

# a device or pipe is never replaced by a file, not even with --force
mkfifo pipe
expect 2 "$pare" init lenet -o pipe --force
stderr_has "'pipe' is not a regular file"
[ -p pipe ] || fail "a pipe was replaced by a file"
mkdir devices && mkfifo "devices/$output.npy"
expect 2 "$pare" run net.onnx --in x.npy --out devices --force
[ -p "devices/$output.npy" ] || fail "a pipe was replaced by a file"

# a 2 x 2 picture, red green blue white
base64 -d >dot.png <<END
iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAFklEQVR4nGP4z8DA8J+BkYHh////DAAe9gT9Ce00PgAAAABJRU5E
rkJggg==
END
expect 0 "$pare" init resnet8 -o colour.onnx
printf 'zero\none\ntwo\n' >labels.txt
expect 0 "$pare" run colour.onnx dot.png --labels labels.txt --top 10
stdout_has '^dot.png'
stdout_has 'one$'
expect 0 "$pare" run colour.onnx dot.png dot.png --resize 40x40 --crop 32x32 --out pictures --json
json_keys results file top
expect 2 "$pare" run colour.onnx dot.png --mean 1,2
echo 'no picture' >text.png
expect 4 "$pare" run colour.onnx text.png
stderr_has 'text.png'
expect 5 "$pare" run colour.onnx missing.png
expect 2 "$pare" run colour.onnx dot.png --in x.npy
expect 5 "$pare" run colour.onnx dot.png --labels missing.txt
finish
