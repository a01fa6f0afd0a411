#!/bin/sh
# Accuracy of published networks, beside the number of correct images that PyTorch 1.13 got on the same files.
#   PARE_DATA=... bench/accuracy.sh [NET]...     (default: all that are there)
. "$(dirname "$0")/lib.sh"

# kws01.bin holds 1,000 utterances of 49 x 10 int8; labels.txt says file and label: both become .npy.
npy_header() { # DESCR SHAPE
    header="{'descr': '$1', 'fortran_order': False, 'shape': $2, }"
    pad=$(((64 - (10 + ${#header} + 1) % 64) % 64))
    length=$((${#header} + pad + 1))
    # shellcheck disable=SC2059
    printf "\\223NUMPY\\001\\000\\$(printf '%03o' $((length % 256)))\\$(printf '%03o' $((length / 256)))"
    printf "%s%${pad}s\n" "$header" ''
}
kws() {
    { npy_header '|i1' '(1000, 1, 49, 10)'; cat "$PARE_DATA/kws/kws01.bin"; } >"$RUNS/kws-x.npy"
    # shellcheck disable=SC2059
    { npy_header '|u1' '(1000,)'; printf "$(awk '{ printf "\\%03o", 0 + $NF }' "$PARE_DATA/kws/labels.txt")"; } >"$RUNS/kws-y.npy"
    echo "npy:$RUNS/kws-x.npy,$RUNS/kws-y.npy"
}
one() { # NET CORRECT_ELSEWHERE SPEC
    report=$RUNS/eval-$1.json
    "$PARE" eval "$(model "$1")" --data "$3" --preprocess "$(pre "$1")" --threads "$THREADS" --json >"$report"
    row accuracy.csv "network,images,correct,correct_pytorch,top1,top5" "$1" "$(json "$report" images)" \
        "$(json "$report" correct)" "$2" "$(json "$report" top1)" "$(json "$report" top5)"
}
while read -r net correct; do
    [ $# = 0 ] || case " $* " in *" $net "*) ;; *) continue ;; esac
    [ -f "$(model "$net")" ] || continue
    case $net in
    cifar10_*) one "$net" "$correct" "cifar10:$PARE_DATA/cifar10" ;;
    mnist_*) one "$net" "$correct" "mnist:$PARE_DATA/mnist" ;;
    imagenet_*) one "$net" "$correct" "images:$PARE_DATA/imagenet/val,$PARE_DATA/imagenet/val.txt" ;;
    kws_*) one "$net" "$correct" "$(kws)" ;;
    esac </dev/null
done <<'TABLE'
cifar10_resnet20 9173
cifar10_resnet32 9263
cifar10_resnet8 8721
cifar10_resnet8_int8 8701
cifar10_resnet4b 7720
cifar10_convfc 7416
cifar10_vgg 9189
cifar10_resnet18 9081
mnist_cntk 9891
mnist_maxpool 9792
imagenet_squeezenet11 479
imagenet_squeezenet10_pruned 468
imagenet_mobilenetv1_075 507
imagenet_mobilenetv2 507
imagenet_mobilenetv2_int8 506
imagenet_mobilenetv1_025_128 324
imagenet_mobilenetv1_025_128_int8 329
kws_dscnn 913
kws_dscnn_int8 902
TABLE
