#!/bin/sh
# PENNI on a pretrained CIFAR-10 network, and the controls of docs/methods/penni.md: each a separate, resumable run.
#   PARE_DATA=... [EPOCHS=18] [OPTIONS=threshold=1,l1=1e-4] [EXTRA="--distill 0.5"] bench/penni.sh NET [RUN]...
# NET  cifar10_resnet20, cifar10_vgg, cifar10_resnet18: a folder of PARE_DATA/models
# RUN  penni, then latency (times it beside the original, with and without Winograd's transforms), tuned (cuts what penni
#      made to density AGAIN, default 1: not at all, and trains it for EPOCHS more, taught by the original), and the
#      controls oneshot, joint, random, magnitude (as many numbers as penni kept)
. "$(dirname "$0")/lib.sh"
[ $# -ge 1 ] || { sed -n '2,8s/^# //p' "$0" >&2; exit 2; }
net=$1; shift
epochs=${EPOCHS:-}
options=${OPTIONS:-threshold=1,l1=1e-4}

header=network,run,method,epochs,extra_options,top1_before,top1_after,params_share,file_share,macs_share,density,latency_ratio_1t

one() { # NAME METHOD EPOCHS
    out=$RUNS/$net-$1.onnx; report=$RUNS/$net-$1.json
    if [ ! -s "$report" ]; then
        "$PARE" compress "$(model $net)" -o "$out" --force --method "$2" --data "cifar10:$PARE_DATA/cifar10" \
            --preprocess "$(pre $net)" ${3:+--epochs "$3"} --run-dir "$RUNS/$net-$1" --threads "$THREADS" ${EXTRA:-} --json \
            >"$report.part"
        mv "$report.part" "$report"
    fi
    "$PARE" bench "$(model $net)" "$out" --threads 1 --batch 1 --json >"$out.bench.json"
    row penni.csv "$header" \
        "$net" "$1" "\"$(json "$report" method)\"" "$3" "${EXTRA:-}" "$(json "$report" before.top1)" "$(json "$report" after.top1)" \
        "$(ratio "$report" params)" "$(ratio "$report" bytes)" "$(ratio "$report" macs)" \
        "$(json "$report" density)" "$(speedup "$out.bench.json")"
}

tuned() {
    cut=$RUNS/$net-cut.onnx; out=$RUNS/$net-tuned.onnx; more="--distill 0.5 --lr 0.01 --schedule cosine ${EXTRA:-}"
    [ -s "$cut" ] || "$PARE" compress "$RUNS/$net-penni.onnx" -o "$cut" --method "penni:density=${AGAIN:-1}" --epochs 0 --no-measure
    if [ ! -s "$out.json" ]; then
        # shellcheck disable=SC2086
        "$PARE" train "$cut" -o "$out" --force --data "cifar10:$PARE_DATA/cifar10" --preprocess "$(pre $net)" $more \
            --teacher "$(model $net)" --epochs "${epochs:-5}" --run-dir "$RUNS/$net-tuned" --threads "$THREADS" --json >"$out.part"
        mv "$out.part" "$out.json"
    fi
    "$PARE" info "$(model $net)" --json >"$out.before"
    "$PARE" info "$out" --json >"$out.after"
    for which in before after; do
        file=$(model $net); [ $which = before ] || file=$out
        "$PARE" eval "$file" --data "cifar10:$PARE_DATA/cifar10" --preprocess "$(pre $net)" --json >"$out.$which.top1"
    done
    "$PARE" bench "$(model $net)" "$out" --threads 1 --batch 1 --json >"$out.bench.json"
    share() { awk "BEGIN{printf \"%.4f\", $(json "$out.after" $1) / $(json "$out.before" $1)}"; }
    row penni.csv "$header" "$net" tuned "\"penni:density=${AGAIN:-1}\"" "${epochs:-5}" "$more" "$(json "$out.before.top1" top1)" \
        "$(json "$out.after.top1" top1)" "$(share params)" "$(share bytes)" "$(share macs)" "" "$(speedup "$out.bench.json")"
}

latency() {
    report=$RUNS/$net-penni.onnx.bench.json
    for flag in "" --no-winograd; do
        # shellcheck disable=SC2086
        "$PARE" bench "$(model $net)" "$RUNS/$net-penni.onnx" --threads 1 --batch 1 $flag --json >"$report"
        row penni_latency.csv network,run,winograd,dense_ms,penni_ms,ratio,foreign_processors "$net" penni "$([ -n "$flag" ] && echo off || echo on)" \
            $(awk -F': ' '/"median_ms"/{gsub(/,/,"",$2); printf "%.4f ", $2}' "$report") "$(speedup "$report")" \
            "$(awk -F': ' '/"foreign_processors"/{gsub(/,/,"",$2); f=$2} END{printf "%.3f", f}' "$report")"
    done
}

# option NAME: what the finished PENNI run used.
option() { echo "$did" | sed "s/.*[:,]$1=\([^,]*\).*/\1/"; }

for run in ${*:-penni}; do
    case $run in
    penni) one penni "penni:$options" "$epochs" ;;
    tuned) tuned ;;
    latency) latency ;;
    joint) one joint "penni:$options,alternate=0" "$epochs" ;;
    random) one random "penni:$options,init=random" "$epochs" ;;
    oneshot) one oneshot "penni:$options" 0 ;;
    # As many numbers as PENNI kept, as the share of all convolution weights, and as many epochs at the same rate.
    magnitude)
        did=$(json "$RUNS/$net-penni.json" method)
        kept=$(awk '/"params"/{gsub(/[^0-9.]/,"",$2); print $2}' "$RUNS/$net-penni.json" | sed -n 2p)
        all=$(awk '/"params"/{gsub(/[^0-9.]/,"",$2); print $2}' "$RUNS/$net-penni.json" | sed -n 1p)
        one magnitude "magnitude:density=$(awk "BEGIN{print $kept / $all}"),finetune=$(($(option retrain) + $(option finetune))),lr=$(option lr),steps=$(option steps)" \
            "$epochs" ;;
    *) echo "unknown run '$run'" >&2; exit 2 ;;
    esac
done
