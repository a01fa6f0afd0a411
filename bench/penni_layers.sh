#!/bin/sh
# Time of PENNI layers in their stored form against the same layers dense, by density: 3x3 layers with random weights,
# decomposed in one shot, and a whole CIFAR ResNet-18. Batch 1. All that is compared runs in turn, three rounds, medians.
#   PEER_PYTHON=python3 bench/penni_layers.sh [DENSITY]...      (default: 0.05 0.1 0.2 0.3)
# PEER_PYTHON names a Python with onnx and onnxruntime: it makes the single layers and times ONNX Runtime on the dense
# forms. Without it only the whole network is timed, against its own dense form. TIMES: how many threads ("1 2").
# LAYERS: "CHANNELS@SIZE ..." (default: four; none if empty).
PARE_DATA=${PARE_DATA:-/}
. "$(dirname "$0")/lib.sh"
peer=$root/bench/penni_layers.py
header="layer,density,penni_ms,dense_ms,ratio_dense,onnxruntime_dense_ms,ratio_onnxruntime"
middle() { sort -n | awk '{a[NR]=$1} END{print a[int((NR+1)/2)]}'; }

# one NAME DENSITY DENSE: compresses DENSE, times both and the peer, adds a row.
one() {
    small=$RUNS/penni-layer.onnx
    "$PARE" compress "$3" -o "$small" --force --epochs 0 --quiet \
        --method "penni:density=$2,scope=layer,shrink=0,pointwise=dense" >/dev/null
    : >"$RUNS/dense.txt" >"$RUNS/penni.txt" >"$RUNS/peer.txt"
    for round in 1 2 3; do
        [ -z "${PEER_PYTHON:-}" ] || "$PEER_PYTHON" "$peer" time "$3" "$THREADS" 0.4 >>"$RUNS/peer.txt"
        "$PARE" bench "$3" "$small" --threads "$THREADS" --batch 1 --seconds 0.4 --json >"$RUNS/layers.json"
        awk -F': ' '/"median_ms"/{gsub(/,/,"",$2); print $2; exit}' "$RUNS/layers.json" >>"$RUNS/dense.txt"
        awk -F': ' '/"median_ms"/{gsub(/,/,"",$2); m=$2} END{print m}' "$RUNS/layers.json" >>"$RUNS/penni.txt"
    done
    dense=$(middle <"$RUNS/dense.txt") penni=$(middle <"$RUNS/penni.txt") ort=$(middle <"$RUNS/peer.txt")
    row penni_layers.csv "$header" "$1" "$2" "$(printf %.4f "$penni")" "$(printf %.4f "$dense")" \
        "$(awk "BEGIN{printf \"%.2f\", $dense / $penni}")" "${ort:-}" \
        "$([ -z "$ort" ] || awk "BEGIN{printf \"%.2f\", $ort / $penni}")"
}

net=$RUNS/layers-resnet18.onnx
[ -s "$net" ] || "$PARE" init resnet18-cifar -o "$net"
for density in ${*:-0.05 0.1 0.2 0.3}; do
    for THREADS in ${TIMES:-1 2}; do
        for layer in ${PEER_PYTHON:+${LAYERS-64@32 128@16 256@8 512@4}}; do
            file=$RUNS/layer-$layer.onnx
            [ -s "$file" ] || "$PEER_PYTHON" "$peer" make "${layer%@*}" "${layer#*@}" "$file"
            one "3x3 $layer" "$density" "$file"
        done
        one "resnet18-cifar" "$density" "$net"
    done
done
