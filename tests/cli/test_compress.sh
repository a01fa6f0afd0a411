#!/bin/sh
# compress in its one-shot form, and what its output files must never suffer. Usage: test_compress.sh PARE
set -u
pare=$1
. "$(dirname "$0")/lib.sh"

data=glyphs:train=64,test=100
expect 0 "$pare" init resnet8 -o net.onnx
expect 0 "$pare" compress net.onnx -o small.onnx --method penni --epochs 0 --no-measure --json
json_keys method before after params bytes macs top1 median_ms layers seed
stdout_has '"method": "penni:basis=5'
[ "$(sed -n '/"before"/,/}/p' stdout | grep -c '"top1": null')" = 1 ] || fail "an accuracy without data"
expect 0 "$pare" info small.onnx --json
stdout_has '"codec": "penni"'
expect 0 "$pare" check small.onnx
[ "$(wc -c <small.onnx)" -lt "$(wc -c <net.onnx)" ] || fail "the compressed file is larger"

# the same bytes again, for any number of threads, and with the report in words
for threads in 1 3; do
    expect 0 "$pare" compress net.onnx -o again.onnx --method penni --epochs 0 --no-measure --threads $threads --force
    stdout_has '^parameters'
    cmp -s small.onnx again.onnx || fail "another result with $threads threads"
done
# two-stage and dense execution of the same file agree
expect 0 "$pare" eval small.onnx --data $data --json
stage=$(json_value loss)
expect 0 "$pare" eval small.onnx --data $data --json --force 'reference*'
plain=$(json_value loss)
[ "$(echo "$stage" | cut -c 1-5)" = "$(echo "$plain" | cut -c 1-5)" ] || fail "loss $stage and $plain"

expect 0 "$pare" compress net.onnx -o one.onnx --method magnitude:density=0.5 --method penni:basis=2 --epochs 0 \
    --no-measure --data $data --json
stdout_has 'basis=2'
expect 0 "$pare" compress net.onnx -o one.onnx --method magnitude --epochs 0 --lr 0.5 --no-winograd --force --data $data --json
stdout_has 'lr=0.5'
expect 0 "$pare" compress net.onnx -o two.onnx --method penni --layer 'layer1*=skip' --epochs 0 --no-measure --json
expect 0 "$pare" info two.onnx --json
stdout_has '"codec": "dense"'

# a network whose picture size is free: a 3x3 convolution from 2 to 4 channels and an average, opset 13
base64 -d >free.onnx <<END
CAg6vwMKJQoBeAoBdxIBYRoBYyIEQ29udioRCgRwYWRzQAFAAUABQAGgAQcKGQoBYRIBYiIRR2xv
YmFsQXZlcmFnZVBvb2wKDwoBYhIBeSIHRmxhdHRlbhIBZyqwAggECAIIAwgDEAFCAXdKoAIAACC/
AACAPgAAgL4AACA/AAAAPgAAwL4AAAA/AAAAAAAAAL8AAMA+AAAAvgAAIL8AAIA+AACAvgAAID8A
AAA+AADAvgAAAD8AAAAAAAAAvwAAwD4AAAC+AAAgvwAAgD4AAIC+AAAgPwAAAD4AAMC+AAAAPwAA
AAAAAAC/AADAPgAAAL4AACC/AACAPgAAgL4AACA/AAAAPgAAwL4AAAA/AAAAAAAAAL8AAMA+AAAA
vgAAIL8AAIA+AACAvgAAID8AAAA+AADAvgAAAD8AAAAAAAAAvwAAwD4AAAC+AAAgvwAAgD4AAIC+
AAAgPwAAAD4AAMC+AAAAPwAAAAAAAAC/AADAPgAAAL4AACC/AACAPgAAgL4AACA/AAAAPgAAwL5a
HgoBeBIZChcIARITCgMSAU4KAggCCgMSAUgKAxIBV2IUCgF5Eg8KDQgBEgkKAxIBTgoCCARCBAoA
EA0=
END
expect 0 "$pare" compress free.onnx -o free_small.onnx --method penni --epochs 0
stderr_has 'not timed: the input has free dimensions'
stdout_has '^c  .* penni .* 72 .* - .* - '
expect 0 "$pare" compress free.onnx -o free_small.onnx --method penni --epochs 0 --force --json --shape 1x2x5x4
stdout_has '"macs": 1440'
[ "$(json_value latency_ratio)" != null ] || fail "not timed with a shape"
expect 2 "$pare" compress free.onnx -o none.onnx --method penni --epochs 0 --shape 1x3x5x4
stderr_has 'dimension 1 is 2 in the model, 3 in the shape given'
[ ! -e none.onnx ] || fail "a wrong shape is found after the work"
npy pictures.npy '<f4' '(4, 2, 6, 5)' $((4 * 2 * 6 * 5 * 4))
npy classes.npy '<i8' '(4,)' 32
expect 0 "$pare" compress free.onnx -o free_small.onnx --method penni --epochs 0 --force --json \
    --data npy:pictures.npy,classes.npy
stdout_has '"macs": 2160'
expect 2 "$pare" verify free.onnx free.onnx
stderr_has 'give its shape'
expect 0 "$pare" verify free.onnx free.onnx --shape 1x2x5x4

# overwriting
cp small.onnx before
expect 2 "$pare" compress net.onnx -o small.onnx --method penni --epochs 0
stderr_has '\--force'
cmp -s small.onnx before || fail "a refused compress changed its output"
expect 2 "$pare" compress net.onnx -o net.onnx --method penni --epochs 0 --force
stderr_has 'is the input'
ln net.onnx link.onnx
expect 2 "$pare" compress net.onnx -o link.onnx --method penni --epochs 0 --force

# what is wrong is said before any work
expect 2 "$pare" compress net.onnx --method penni
expect 2 "$pare" compress net.onnx -o x.onnx
expect 2 "$pare" compress net.onnx -o x.onnx --method pennies --epochs 0
stderr_has 'penni'
expect 2 "$pare" compress net.onnx -o x.onnx --method penni:bases=5 --epochs 0
stderr_has 'basis'
expect 2 "$pare" compress net.onnx -o x.onnx --method penni:basis=0 --epochs 0
expect 2 "$pare" compress net.onnx -o x.onnx --method penni:l1=nan --epochs 0
expect 2 "$pare" compress net.onnx -o x.onnx --method magnitude --layer 'layer1*=steps=5,lr=3' --epochs 0
stderr_has "option 'steps' holds for the whole run; give it to --method"
expect 2 "$pare" compress net.onnx -o x.onnx --method penni --epochs 0 --max-drop 1%
expect 5 "$pare" compress missing.onnx -o x.onnx --method penni --epochs 0
expect 5 "$pare" compress net.onnx -o no/folder/x.onnx --method penni --epochs 0
expect 5 "$pare" compress net.onnx -o x.onnx --method penni --epochs 0 --data cifar10:missing
echo text >text.onnx
expect 4 "$pare" compress text.onnx -o x.onnx --method penni --epochs 0
[ -e x.onnx ] && fail "a refused compress left a file"

# a missed target: written all the same
expect 3 "$pare" compress net.onnx -o target.onnx --method magnitude:density=0.01 --epochs 0 --no-measure \
    --data glyphs:train=64,test=500 --max-drop 0%
[ -s target.onnx ] || fail "the best so far was not written"

# a full disk: nothing partial, the old file as it was
(
    ulimit -f 8
    trap '' XFSZ
    "$pare" compress net.onnx -o small.onnx --method penni --epochs 0 --no-measure --force >stdout 2>stderr
    [ $? = 5 ] || exit 1
) || fail "a full disk is exit 5"
cmp -s small.onnx before || fail "a full disk damaged the old file"
ls -A | grep -qE '\.tmp|~|^\.' && fail "a temporary file was left: $(ls -A)"
# weights that are no numbers: the same convolution of NaN
base64 -d >nan.onnx <<END
CAg68gIKEgoBeAoBdxIBeRoBYyIEQ29udhIBZyqwAggECAIIAwgDEAFCAXdKoAIAAMB/AADAfwAA
wH8AAMB/AADAfwAAwH8AAMB/AADAfwAAwH8AAMB/AADAfwAAwH8AAMB/AADAfwAAwH8AAMB/AADA
fwAAwH8AAMB/AADAfwAAwH8AAMB/AADAfwAAwH8AAMB/AADAfwAAwH8AAMB/AADAfwAAwH8AAMB/
AADAfwAAwH8AAMB/AADAfwAAwH8AAMB/AADAfwAAwH8AAMB/AADAfwAAwH8AAMB/AADAfwAAwH8A
AMB/AADAfwAAwH8AAMB/AADAfwAAwH8AAMB/AADAfwAAwH8AAMB/AADAfwAAwH8AAMB/AADAfwAA
wH8AAMB/AADAfwAAwH8AAMB/AADAfwAAwH8AAMB/AADAfwAAwH8AAMB/AADAfwAAwH9aGwoBeBIW
ChQIARIQCgIIAQoCCAIKAggFCgIIBWIJCgF5EgQKAggBQgQKABAN
END
expect 4 "$pare" compress nan.onnx -o nan_small.onnx --method penni --epochs 0
stderr_has "'c': a matrix to decompose has values that are not finite"
finish
