#!/bin/sh
# info and check: counts, and lists of problems. Usage: test_info.sh PARE
set -u
pare=$1
. "$(dirname "$0")/lib.sh"

expect 0 "$pare" init lenet -o net.onnx --json
json_keys file network seed params macs
# by hand: 6*25+6, 16*6*25+16, 400*120+120, 120*84+84, 84*10+10
[ "$(json_value params)" = 61706 ] || fail "LeNet has $(json_value params) parameters"
expect 0 "$pare" info net.onnx --json
json_keys params bytes macs peak_activation_bytes layers name op codec shape
[ "$(json_value params)" = 61706 ] || fail "info counts $(json_value params) parameters"
one=$(json_value macs)
[ "$one" = $((28 * 28 * 6 * 25 + 10 * 10 * 16 * 6 * 25 + 400 * 120 + 120 * 84 + 84 * 10)) ] || fail "macs are $one"
expect 0 "$pare" info net.onnx --json --batch 3
[ "$(json_value macs)" = $((3 * one)) ] || fail "three pictures need $(json_value macs) multiply-accumulates"
expect 0 "$pare" info net.onnx
stdout_has '^parameters  *61.71 k'
expect 0 "$pare" info net.onnx --shape input=2x1x28x28
expect 2 "$pare" info net.onnx --shape input=2x3x28x28
expect 2 "$pare" info net.onnx --shape 2x
expect 5 "$pare" info missing.onnx
expect 5 "$pare" info .

expect 0 "$pare" check net.onnx --json
json_keys problems
stdout_has '"problems": \[\]'
expect 0 "$pare" check net.onnx
stdout_has 'no problems'
# two kinds of unknown operator: every node is listed, in one go
LC_ALL=C sed 's/Relu/Relx/g; s/Gemm/Gexm/g' net.onnx >unknown.onnx
expect 4 "$pare" check unknown.onnx --json
json_keys problems node op reason remedy
stdout_has 'Relx'
stdout_has 'Gexm'
expect 4 "$pare" check unknown.onnx
stdout_has 'remedy'
stderr_has 'unknown.onnx'
expect 4 "$pare" info unknown.onnx
head -c 1000 net.onnx >cut.onnx
for verb in check info run; do expect 4 "$pare" $verb cut.onnx; done
head -c 100000 /dev/zero >zeros.onnx
expect 4 "$pare" check zeros.onnx
mkfifo pipe.onnx
expect 5 "$pare" check pipe.onnx
# a model whose batch is fixed: a Relu of 1x3 numbers, opset 13
base64 -d >fixed.onnx <<END
CAg6OwoMCgF4EgF5IgRSZWx1EgFnWhMKAXgSDgoMCAESCAoCCAEKAggDYhMKAXkSDgoMCAESCAoC
CAEKAggDQgQKABAN
END
expect 0 "$pare" info fixed.onnx --batch 8
stderr_has "fixed.onnx: the first dimension of 'x' is 1, which --batch 8 does not change"
expect 0 "$pare" bench fixed.onnx --batch 8 --seconds 0.01 --runs 1
stderr_has 'does not change'
finish
