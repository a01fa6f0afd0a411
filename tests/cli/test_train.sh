#!/bin/sh
# train and compress with retraining: reports, resuming after kill -9 and after signals, full disks.
# Usage: test_train.sh PARE
set -u
pare=$1
. "$(dirname "$0")/lib.sh"

data=glyphs:train=128,test=50
run= # `exec` where a process is to be killed: a signal to a shell would leave its child running
expect 0 "$pare" init resnet8 -o start.onnx
settings="--data $data --epochs 3 --batch 32 --mean 127.5 --scale 0.0156 --lr 0.02"
# shellcheck disable=SC2086
train() { $run "$pare" train start.onnx -o "$1" $settings --run-dir "$2" --threads "${3:-1}" -q; }
# shellcheck disable=SC2086
compress() {
    $run "$pare" compress trained.onnx -o "$1" --method penni:retrain=2,finetune=1 --epochs 3 --data $data --batch 32 \
        --no-measure --run-dir "$2" --threads "${3:-1}" -q
}

# shellcheck disable=SC2086
"$pare" train start.onnx -o probe.onnx $settings --epochs 0 >stdout 2>stderr
if [ $? = 4 ] && grep -q 'not part of this build' stderr; then
    echo "skipped: built without training"
    exit 0
fi

# shellcheck disable=SC2086
expect 0 "$pare" train start.onnx -o trained.onnx $settings --json --threads 1
json_keys file epochs resumed_from top1 best_top1 loss images_per_second seed
# the preprocessing travels with the model
expect 0 "$pare" eval trained.onnx --data $data --json
with=$(json_value loss)
expect 0 "$pare" eval trained.onnx --data $data --mean 127.5 --scale 0.0156 --json
[ "$(json_value loss)" = "$with" ] || fail "the model does not know its preprocessing"
expect 0 train threads.onnx run-threads 2
cmp -s trained.onnx threads.onnx || fail "two threads train other weights than one"
expect 2 train threads.onnx run-threads
# shellcheck disable=SC2086
{
    expect 2 "$pare" train start.onnx -o x.onnx --epochs 1
    expect 2 "$pare" train start.onnx $settings
    expect 2 "$pare" train start.onnx -o x.onnx $settings --optimizer magic
    expect 2 "$pare" train start.onnx -o x.onnx $settings --lr -1
    expect 2 "$pare" train start.onnx -o start.onnx $settings --force
    expect 2 "$pare" train start.onnx -o x.onnx $settings --distill 0.5
    expect 5 "$pare" train start.onnx -o no/folder/x.onnx $settings
}
[ -e x.onnx ] && fail "a refused train left a file"

# interrupted KIND OUT RUN SIGNAL: starts work, lets it run for a while, stops it, as often as it takes to finish.
# Waiting gets longer so that every machine gets somewhere.
interrupted() {
    pause=1
    while :; do
        (run=exec && "$1" "$2" "$3") >/dev/null 2>stderr &
        pid=$!
        sleep "0.$pause"
        if kill "-$4" $pid 2>/dev/null; then
            wait $pid 2>/dev/null
            code=$?
        else
            wait $pid
            code=$?
        fi
        case $4.$code in
        *.0) break ;;
        KILL.137 | INT.130 | TERM.143) ;;
        *) fail "$1 stopped by $4 ends with $code"; return ;;
        esac
        [ -e "$2" ] && fail "$2 is there although $1 was interrupted"
        pause=$((pause + 2))
        [ $pause -le 9 ] || {
            "$1" "$2" "$3" >/dev/null 2>stderr || fail "$1 does not resume"
            break
        }
    done
    checks=$((checks + 1))
}
for signal in KILL TERM INT; do
    interrupted train "train-$signal.onnx" "run-train-$signal" $signal
    cmp -s trained.onnx "train-$signal.onnx" || fail "training interrupted by $signal ends with other weights"
done

expect 0 compress small.onnx run-small
expect 0 compress small2.onnx run-small2 2
cmp -s small.onnx small2.onnx || fail "two threads compress to other bytes than one"
for signal in KILL TERM; do
    interrupted compress "small-$signal.onnx" "run-small-$signal" $signal
    cmp -s small.onnx "small-$signal.onnx" || fail "compression interrupted by $signal ends with other bytes"
done

# a full disk: exit 5, and afterwards the run goes on from what was saved
(
    ulimit -f 16
    trap '' XFSZ
    train full.onnx run-full >stdout 2>stderr
    [ $? = 5 ] || { cat stderr; exit 1; }
) || fail "a full disk while training is exit 5"
[ -e full.onnx ] && fail "a full disk left a partial file"
expect 0 train full.onnx run-full
cmp -s trained.onnx full.onnx || fail "training after a full disk ends with other weights"

# two runs in one folder at once
if command -v flock >/dev/null; then
    expect 5 flock run-full/lock "$pare" train start.onnx -o other.onnx --data glyphs:train=64,test=64 --run-dir run-full
    stderr_has 'another pare is at work there'
    [ ! -e other.onnx ] || fail "a run in a folder in use left a file"
fi

# a run folder belongs to one run
# shellcheck disable=SC2086
"$pare" train start.onnx -o other.onnx $settings --lr 0.05 --run-dir run-full >stdout 2>stderr
case $? in 2 | 4) ;; *) fail "a run folder of other settings is refused" ;; esac
finish
