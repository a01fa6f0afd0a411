#!/bin/sh
# bfloat16 factors (--precision bf16) beside float32, both by pare, with and without Winograd's transforms.
#   PARE_MODELS=/folder/of/onnx/files bench/precision.sh time [NAME]...   times in turn: one row a network, number of
#                                    threads and choice of Winograd (THREAD_COUNTS, SECONDS_EACH: as for models.sh)
#   PARE_DATA=/path/to/data bench/precision.sh accuracy NET...            top-1 on all CIFAR-10 test images
what=${1:?time or accuracy}
shift
[ "$what" = time ] && PARE_DATA=${PARE_DATA:-/}
. "$(dirname "$0")/lib.sh"
# field FILE KEY: the first number of that key.
field() { awk -v key="\"$2\":" '$1 == key { gsub(/,/, "", $2); printf "%.5g", $2; exit }' "$1"; }
# layers FILE KEY PATTERN: how many layers have such a value.
layers() { grep -c "\"$2\": \"$3\"" "$1" || true; }
middle() { sort -n "$1" | awk '{ v[NR] = $1 } END { printf "%.4g", v[int((NR + 1) / 2)] }'; }

time_one() { # NAME FLAG
    for kind in fp32 bf16; do : >"$RUNS/$kind.ms"; done
    foreign=0
    for round in 1 2 3; do
        for kind in fp32 bf16; do
            "$PARE" bench "$PARE_MODELS/$1.onnx" --threads "$THREADS" --seconds "${SECONDS_EACH:-0.4}" --runs 5 \
                --precision $kind $2 --json --quiet >"$RUNS/$kind.json"
            field "$RUNS/$kind.json" median_ms >>"$RUNS/$kind.ms"
            echo >>"$RUNS/$kind.ms"
            now=$(field "$RUNS/$kind.json" foreign_processors)
            awk "BEGIN{exit !($now < 0.15)}" || { # no row of a disturbed measurement
                echo "$1, $THREADS threads: other processes were running" >&2
                return 0
            }
            foreign=$(awk "BEGIN{print ($now > $foreign ? $now : $foreign)}")
        done
    done
    row precision.csv "network,winograd,float32_ms,bf16_ms,ratio,bf16_layers,winograd_layers,foreign_processors" "$1" \
        "$([ -n "$2" ] && echo off || echo on)" "$(middle "$RUNS/fp32.ms")" "$(middle "$RUNS/bf16.ms")" \
        "$(awk "BEGIN{printf \"%.3f\", $(middle "$RUNS/fp32.ms") / $(middle "$RUNS/bf16.ms")}")" \
        "$(layers "$RUNS/bf16.json" precision bf16)" "$(layers "$RUNS/bf16.json" impl 'conv_winograd[24]')" "$foreign"
}

case $what in
time)
    [ -d "${PARE_MODELS:-}" ] || { echo "PARE_MODELS must name a folder of .onnx files" >&2; exit 1; }
    [ $# -gt 0 ] || set -- resnet18_b1 resnet50_b1 vgg16_b1 alexnet_b1 mobilenetv2_b1 resnet18_cifar_b1
    for name; do
        for THREADS in ${THREAD_COUNTS:-1 2}; do
            for flag in "" --no-winograd; do time_one "$name" "$flag"; done
        done
    done ;;
accuracy)
    for net; do
        for flag in "" --no-winograd; do
            for kind in fp32 bf16; do
                "$PARE" eval "$(model "$net")" --data cifar10:"$PARE_DATA/cifar10" --preprocess "$(pre "$net")" \
                    --precision $kind $flag --json --quiet >"$RUNS/$kind.json"
            done
            row precision_accuracy.csv "network,winograd,images,correct_float32,correct_bf16,points,loss_float32,loss_bf16" "$net" \
                "$([ -n "$flag" ] && echo off || echo on)" "$(json "$RUNS/fp32.json" images)" \
                "$(json "$RUNS/fp32.json" correct)" "$(json "$RUNS/bf16.json" correct)" \
                "$(awk "BEGIN{printf \"%+.2f\", 100 * ($(json "$RUNS/bf16.json" top1) - $(json "$RUNS/fp32.json" top1))}")" \
                "$(field "$RUNS/fp32.json" loss)" "$(field "$RUNS/bf16.json" loss)"
        done
    done ;;
*)
    echo "time or accuracy, not '$what'" >&2
    exit 1 ;;
esac
