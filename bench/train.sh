#!/bin/sh
# Trains a ResNet-8 from random weights on CIFAR-10 to its known accuracy (at least 85 %). Resumable.
#   PARE_DATA=... [EPOCHS=40] bench/train.sh
. "$(dirname "$0")/lib.sh"
epochs=${EPOCHS:-40}
run=$RUNS/train-resnet8
report=$run.json
mean="--mean 125.307,122.961,113.8575 --scale 0.0158704,0.016105,0.0149907"
[ -s "$run-start.onnx" ] || "$PARE" init resnet8 -o "$run-start.onnx" --seed 1
if [ ! -s "$report" ]; then
    # shellcheck disable=SC2086
    "$PARE" train "$run-start.onnx" -o "$run.onnx" --force --data "cifar10:$PARE_DATA/cifar10" $mean --epochs "$epochs" \
        --lr 0.2 --schedule one-cycle --weight-decay 5e-4 --run-dir "$run" --threads "$THREADS" --json >"$report.part"
    mv "$report.part" "$report"
fi
"$PARE" eval "$run.onnx" --data "cifar10:$PARE_DATA/cifar10" --json >"$run-eval.json"
row train.csv "network,epochs,top1,images_per_second" resnet8 "$epochs" "$(json "$run-eval.json" top1)" \
    "$(json "$report" images_per_second)"
