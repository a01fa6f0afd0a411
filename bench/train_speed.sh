#!/bin/sh
# Training speed in images/s, batch 128, pare beside PyTorch, in turn.
#   PARE_DATA=... [PEER_PYTHON="python3 venv/bin/python"] [ROUNDS=3] [STEPS=10] THREADS=2 bench/train_speed.sh [resnet20 vgg]
# PEER_PYTHON  every Python that has a PyTorch to compare with (contiguous and channels_last are both tried)
. "$(dirname "$0")/lib.sh"
steps=${STEPS:-10}
peers=${PEER_PYTHON:-}

# took NETWORK ROUND WHO IMAGES_PER_SECOND
took() { row train_peers.csv "network,batch,round,who,images_per_second" "$1" 128 "$2" "$3" "$4"; }

for round in $(seq "${ROUNDS:-3}"); do
    for net in ${*:-resnet20 vgg}; do
        for precision in fp32 bf16; do
            "$PARE" train "$(model cifar10_$net)" -o "$RUNS/speed.onnx" --force --data "cifar10:$PARE_DATA/cifar10" \
                --preprocess "$(pre cifar10_$net)" --epochs 1 --max-steps "$steps" --eval-limit 128 --lr 0.01 \
                --threads "$THREADS" --precision "$precision" --json --quiet >"$RUNS/speed.json" || continue
            took "$net" "$round" "pare $precision" "$(json "$RUNS/speed.json" images_per_second)"
        done
        for python in $peers; do
            for layout in "" channels_last; do
                # shellcheck disable=SC2086
                out=$("$python" "$root/bench/train_peer.py" "$net" 128 "$THREADS" "$steps" $layout) || continue
                took "$net" "$round" "PyTorch ${out#* }" "${out%% *}"
            done
        done
    done
done
