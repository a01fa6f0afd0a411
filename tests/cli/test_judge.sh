#!/bin/sh
# init, eval, verify and bench on networks that pare makes itself. Usage: test_judge.sh PARE
set -u
pare=$1
. "$(dirname "$0")/lib.sh"

expect 0 "$pare" init resnet8 -o a.onnx --seed 1
expect 0 "$pare" init resnet8 -o again.onnx --seed 1 --json
json_keys file network seed
cmp -s a.onnx again.onnx || fail "the same seed gives other bytes"
expect 0 "$pare" init resnet8 -o b.onnx --seed 2
cmp -s a.onnx b.onnx && fail "another seed gives the same bytes"

# nothing is overwritten, and nothing partial is left
cp a.onnx before
expect 2 "$pare" init resnet8 -o a.onnx --seed 2
stderr_has "'a.onnx' exists; --force replaces it"
cmp -s a.onnx before || fail "a refused init changed its output"
expect 0 "$pare" init resnet8 -o again.onnx --seed 2 --force
cmp -s again.onnx b.onnx || fail "--force did not replace"
expect 2 "$pare" init resnet8
expect 2 "$pare" init resnet9000 -o c.onnx
stderr_has 'resnet20'
expect 2 "$pare" init lenet -o c.onnx --shape 1,28
expect 2 "$pare" init lenet -o c.onnx --classes 0
expect 5 "$pare" init lenet -o no/such/folder/c.onnx
expect 2 "$pare" init lenet -o .
(
    ulimit -f 20 # 10 KiB or 20 KiB: less than the file needs
    trap '' XFSZ
    expect 5 "$pare" init resnet8 -o full.onnx
    [ "$failures" = 0 ]
) || failures=$((failures + 1))
[ -e full.onnx ] && fail "a full disk left a partial file"
# shellcheck disable=SC2012
[ "$(ls | grep -vcE '^(a|b|again)\.onnx$|^before$|^std(out|err)$')" = 0 ] || fail "files were left behind: $(ls)"

# eval
expect 0 "$pare" eval a.onnx --data glyphs:test=200 --json
json_keys images top1 top5 seconds loss file data
[ "$(json_value images)" = 200 ] || fail "images are $(json_value images)"
one=$(json_value top1)$(json_value loss)
for threads in 1 2 3; do
    expect 0 "$pare" eval a.onnx --data glyphs:test=200 --json --threads $threads
    [ "$(json_value top1)$(json_value loss)" = "$one" ] || fail "$threads threads change the result"
done
expect 0 "$pare" eval a.onnx --data glyphs:test=200 --limit 7
stdout_has '^images  7$'
expect 0 "$pare" eval a.onnx --data glyphs:test=20 --mean 127.5 --scale 0.01,0.02,0.03 --order bgr
expect 2 "$pare" eval a.onnx
stderr_has 'data'
expect 2 "$pare" eval a.onnx --data nonsense
expect 2 "$pare" eval a.onnx --data nonsense:x
expect 5 "$pare" eval a.onnx --data cifar10:missing
expect 5 "$pare" eval a.onnx --data mnist:missing
expect 2 "$pare" eval a.onnx --data glyphs:test=20 --mean x
expect 2 "$pare" eval a.onnx --data glyphs:test=20 --mean 1,2,3,4,5
expect 2 "$pare" eval a.onnx --data glyphs:test=20 --resize 12
expect 2 "$pare" eval a.onnx --data glyphs:test=20 --resize 0x4
expect 5 "$pare" eval a.onnx --data glyphs:test=20 --preprocess missing.json
expect 2 "$pare" eval a.onnx --data glyphs:test=20 --force 'no_such_*'
expect 0 "$pare" eval a.onnx --data glyphs:test=5 --force 'reference*'
# ten classes do not fit five outputs
expect 0 "$pare" init resnet8 -o five.onnx --classes 5
expect 4 "$pare" eval five.onnx --data glyphs:test=5
stderr_has '5.*10'
# pictures of three channels do not fit a network for one
expect 0 "$pare" init lenet -o grey.onnx
expect 4 "$pare" eval grey.onnx --data glyphs:test=5

# verify
expect 0 "$pare" verify a.onnx a.onnx
stdout_has '^match  *yes'
expect 0 "$pare" verify a.onnx a.onnx --data glyphs:test=50 --json
json_keys match max_rel_error first_divergent top1_a top1_b images
[ "$(json_value match)" = true ] || fail "a network does not match itself"
expect 7 "$pare" verify a.onnx b.onnx --json
[ "$(json_value match)" = false ] || fail "two networks match"
[ "$(json_value first_divergent)" != null ] || fail "no first divergent layer"
stderr_has 'first in'
error=$(json_value max_rel_error)
expect 7 "$pare" verify a.onnx b.onnx --json --seed 2
[ "$(json_value max_rel_error)" != "$error" ] || fail "--seed does not change the random inputs"
expect 2 "$pare" verify a.onnx a.onnx --limit 5
stderr_has '\--limit counts samples'
expect 2 "$pare" verify a.onnx a.onnx --crop 8x8
stderr_has '\--crop would change nothing'
expect 7 "$pare" verify a.onnx five.onnx
expect 7 "$pare" verify a.onnx grey.onnx
expect 0 "$pare" verify a.onnx b.onnx --tolerance 1000
expect 0 "$pare" verify a.onnx b.onnx --data glyphs:test=50 --max-drop 99%
expect 2 "$pare" verify a.onnx b.onnx --max-drop 1%
expect 2 "$pare" verify a.onnx b.onnx --data glyphs:test=50 --max-drop 5
stderr_has '5%'
expect 2 "$pare" verify a.onnx b.onnx --tolerance nan

# bench
expect 0 "$pare" bench a.onnx b.onnx --seconds 0.01 --runs 3 --threads 1 --json
json_keys threads batch models file median_ms p10_ms p90_ms gflops peak_mib ratio_to_first layers name impl ms
expect 0 "$pare" bench a.onnx --seconds 0.01 --runs 1 --layers --batch 2
stdout_has 'implementation'
expect 0 "$pare" bench a.onnx --seconds 0.01 --runs 1 --choose measure
expect 0 "$pare" bench a.onnx --seconds 0.01 --runs 1 --roofline --json
json_keys peaks gflops int8_gops bandwidth_gbs working_set weight_bytes activation_bytes peak_share bandwidth_share bound
expect 0 "$pare" bench a.onnx --seconds 0.01 --runs 1 --roofline
stdout_has '^machine: .* GFLOP/s'
stdout_has 'arithmetic$'
expect 0 "$pare" bench a.onnx --seconds 0.01 --runs 1 --json
case $(json_value load_ms) in 0 | '') fail "planning took no time" ;; esac
expect 2 "$pare" bench a.onnx --preprocess missing.json
# rounding: as asked where the processor can, and refused, not ignored, where it cannot
expect 0 "$pare" bench a.onnx --seconds 0.01 --runs 1 --json
[ "$(json_value precision)" = '"fp32"' ] || fail "precision is $(json_value precision)"
expect 2 "$pare" bench a.onnx --precision fp16
PARE_CPU=c expect 4 "$pare" bench a.onnx --precision bf16
stderr_has 'AVX512_BF16'
PARE_CPU=avx2 expect 4 "$pare" eval a.onnx --data glyphs:test=50 --precision bf16x2
stderr_has 'AMX'
expect 2 "$pare" bench a.onnx --tolerance 0.1
stderr_has '\--peers'
expect 2 "$pare" bench a.onnx --peer-path missing.so
expect 2 "$pare" bench a.onnx --choose luck
expect 2 "$pare" bench a.onnx --force 'no_such_*'
expect 2 "$pare" bench a.onnx --seconds 0
expect 5 "$pare" bench missing.onnx

# bench beside another runtime: a stand-in for its library lies beside the tests' programs
ort=$(dirname "$pare")/tests/libonnxruntime.so.0
base64 -d >relu.onnx <<END
CAg6OwoMCgF4EgF5IgRSZWx1EgFnWhMKAXgSDgoMCAESCAoCCAIKAggDYhMKAXkSDgoMCAESCAoC
CAIKAggDQgQKABAN
END
expect 0 "$pare" bench relu.onnx --peers --peer-path "$ort" --seconds 0.001 --runs 3 --json
json_keys peers name version path ratio ratio_p10 ratio_p90 max_rel_diff foreign_processors
[ "$(json_value version)" = '"0.0.1-stand-in"' ] || fail "version is $(json_value version)"
expect 0 "$pare" bench relu.onnx relu.onnx --peers --peer-path "$ort" --seconds 0.001 --runs 3
stdout_has '^ONNX Runtime 0.0.1-stand-in: .*libonnxruntime.so.0$'
FAKE_ORT=off expect 7 "$pare" bench relu.onnx --peers --peer-path "$ort" --seconds 0.001 --runs 3
stdout_has 'peer/pare'
stderr_has 'outputs differ'
FAKE_ORT=shape expect 7 "$pare" bench relu.onnx --peers --peer-path "$ort" --seconds 0.001 --runs 3 --json
json_keys peers max_rel_diff
[ "$(json_value max_rel_diff)" = null ] || fail "another shape differs by $(json_value max_rel_diff)"
FAKE_ORT=off expect 0 "$pare" bench relu.onnx --peers --peer-path "$ort" --seconds 0.001 --runs 3 --tolerance 1
FAKE_ORT=refuse expect 4 "$pare" bench relu.onnx --peers --peer-path "$ort"
stderr_has 'the stand-in refuses'
expect 5 "$pare" bench relu.onnx --peers --peer-path missing.so

# tune-machine
expect 2 "$pare" tune-machine
stderr_has 'PARE_TUNE is off'
PARE_TUNE=tuned.txt expect 0 "$pare" tune-machine a.onnx --json
json_keys file implementations impl factor layers
json_keys foreign_processors
PARE_TUNE=tuned.txt expect 2 "$pare" tune-machine
stderr_has "'tuned.txt' exists"
cp a.onnx precious.onnx
expect 2 "$pare" tune-machine -o precious.onnx
stderr_has '\--force'
cmp -s a.onnx precious.onnx || fail "tune-machine replaced a network"
expect 5 "$pare" tune-machine -o no/such/folder.txt
expect 2 "$pare" tune-machine -o t.txt --threads 2
stderr_has 'one thread'
[ -e t.txt ] && fail "a refused tune-machine left a file"
PARE_TUNE=tuned.txt expect 0 "$pare" bench a.onnx --seconds 0.01 --runs 1 --quiet
grep -q tuned.txt stderr && fail "a good file of tune-machine is complained about"
echo damaged >tuned.txt
PARE_TUNE=tuned.txt expect 0 "$pare" bench a.onnx --seconds 0.01 --runs 1
stderr_has "'tuned.txt' is damaged"
rm tuned.txt precious.onnx
PARE_TUNE=tuned.txt expect 0 "$pare" bench a.onnx --seconds 0.01 --runs 1
stderr_has "no file 'tuned.txt'"

# a result that cannot be written
"$pare" eval a.onnx --data glyphs:test=5 --json >/dev/full 2>stderr
[ $? = 5 ] || fail "eval into a full disk is exit 5"
# a batch of nothing: a Relu of 0x3 numbers, opset 13
base64 -d >nothing.onnx <<END
CAg6OwoMCgF4EgF5IgRSZWx1EgFnWhMKAXgSDgoMCAESCAoCCAAKAggDYhMKAXkSDgoMCAESCAoC
CAAKAggDQgQKABAN
END
expect 0 "$pare" verify nothing.onnx nothing.onnx
finish
