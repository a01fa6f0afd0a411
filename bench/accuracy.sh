#!/bin/sh
# Accuracy of published networks, as CSV, beside the number of correct images that another engine (PyTorch 1.13, the
# README of the data folder) got on the same files.
# Usage: accuracy.sh PARE DATA >bench/results/accuracy.csv   DATA: cifar10, mnist, imagenet, kws, models, models.json
set -eu
pare=$1
data=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
json=$data/models/models.json

# kws01.bin: 1000 utterances of 49 x 10 int8; labels.txt: file, label
npy() { # FILE DESCR SHAPE: the header of a .npy file
    header="{'descr': '$2', 'fortran_order': False, 'shape': $3, }"
    pad=$(((64 - (10 + ${#header} + 1) % 64) % 64))
    length=$((${#header} + pad + 1))
    {
        printf '\223NUMPY\001\000'
        # shellcheck disable=SC2059
        printf "\\$(printf '%03o' $((length % 256)))\\$(printf '%03o' $((length / 256)))"
        printf "%s%${pad}s\n" "$header" ''
    } >"$1"
}
if [ -f "$data/kws/kws01.bin" ]; then
    npy "$work/x.npy" '|i1' '(1000, 1, 49, 10)'
    cat "$data/kws/kws01.bin" >>"$work/x.npy"
    npy "$work/y.npy" '|u1' '(1000,)'
    awk '{ printf "\\%03o", 0 + $NF }' "$data/kws/labels.txt" >"$work/octal"
    # shellcheck disable=SC2059
    printf "$(cat "$work/octal")" >>"$work/y.npy"
fi
cifar=cifar10:$data/cifar10 mnist=mnist:$data/mnist kws=npy:$work/x.npy,$work/y.npy
imagenet=images:$data/imagenet/val,$data/imagenet/val.txt

cpu=$("$pare" doctor --json | sed -n 's/^ *"cpu": "\(.*\)",/\1/p')
echo "model,images,correct,top1,top5,loss,correct elsewhere,cpu,version"
row() { # MODEL DATA CORRECT
    [ -f "$data/models/$1/model.onnx" ] || return 0
    "$pare" eval "$data/models/$1/model.onnx" --data "$2" --preprocess "$json:$1" --json -q >"$work/out"
    value() { sed -n "s/^ *\"$1\": \([^,]*\),*\$/\1/p" "$work/out"; }
    echo "$1,$(value images),$(value correct),$(value top1),$(value top5),$(value loss),$3,$cpu,$("$pare" version | cut -d' ' -f2)"
}
row cifar10_resnet20 "$cifar" 9173
row cifar10_resnet32 "$cifar" 9263
row cifar10_resnet8 "$cifar" 8721
row cifar10_resnet8_int8 "$cifar" 8701
row cifar10_resnet4b "$cifar" 7720
row cifar10_convfc "$cifar" 7416
row cifar10_vgg "$cifar" 9189
row cifar10_resnet18 "$cifar" 9081
row mnist_cntk "$mnist" 9891
row mnist_maxpool "$mnist" 9792
row imagenet_squeezenet11 "$imagenet" 479
row imagenet_squeezenet10_pruned "$imagenet" 468
row imagenet_mobilenetv1_075 "$imagenet" 507
row imagenet_mobilenetv2 "$imagenet" 507
row imagenet_mobilenetv2_int8 "$imagenet" 506
row imagenet_mobilenetv1_025_128 "$imagenet" 324
row imagenet_mobilenetv1_025_128_int8 "$imagenet" 329
row kws_dscnn "$kws" 913
row kws_dscnn_int8 "$kws" 902
