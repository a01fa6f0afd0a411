#!/bin/sh
# Time of PENNI layers in their stored form against the same layers dense, by density: the 3x3 layers of a CIFAR ResNet-18
# with random weights, decomposed in one shot. One thread, batch 1, both networks timed in turn.
#   bench/penni_layers.sh [DENSITY]...      (default: 0.05 0.1 0.2 0.3)
PARE_DATA=${PARE_DATA:-/}
. "$(dirname "$0")/lib.sh"
net=$RUNS/layers-resnet18.onnx
[ -s "$net" ] || "$PARE" init resnet18-cifar -o "$net"
# layer_ms BENCH MODEL NAME: milliseconds of one layer in one model of a bench report.
layer_ms() {
    awk -v m="$2" -v n="$3" '
        /"file"/ { k++ }
        /"name"/ { name = $2; gsub(/[",]/, "", name) }
        /"ms"/ { ms = $2; sub(/,/, "", ms); if (k == m && name == n) { print ms; exit } }' "$1"
}
for density in ${*:-0.05 0.1 0.2 0.3}; do
    out=$RUNS/layers-$density.onnx
    "$PARE" compress "$net" -o "$out" --force --epochs 0 --quiet \
        --method "penni:density=$density,scope=layer,shrink=0" >/dev/null
    "$PARE" bench "$net" "$out" --threads 1 --batch 1 --seconds 3 --json >"$RUNS/layers.json"
    for layer in layer1.1.conv2 layer2.1.conv2 layer3.1.conv2 layer4.1.conv2; do
        dense=$(layer_ms "$RUNS/layers.json" 1 "$layer") penni=$(layer_ms "$RUNS/layers.json" 2 "$layer")
        THREADS=1 row penni_layers.csv "layer,density,dense_ms,penni_ms,ratio" "$layer" "$density" "$dense" "$penni" \
            "$(awk "BEGIN{printf \"%.2f\", $dense / $penni}")"
    done
    THREADS=1 row penni_layers.csv "layer,density,dense_ms,penni_ms,ratio" "whole network" "$density" \
        "$(awk -F': ' '/"median_ms"/{gsub(/,/,"",$2); print $2; exit}' "$RUNS/layers.json")" \
        "$(awk -F': ' '/"median_ms"/{gsub(/,/,"",$2); m=$2} END{print m}' "$RUNS/layers.json")" "$(speedup "$RUNS/layers.json")"
done
