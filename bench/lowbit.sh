#!/bin/sh
# Time of 3x3 layers with few bits against pare's own 8-bit and float32 kernels on the same layers: chains of four equal
# convolutions, a layer's time is the mean of the four in the table of layers, medians of three rounds in turn. Batch 1.
# "int8" is the fastest direct form, "best int8" the fastest of all (Winograd too, which leaves the Clip to a step that is
# not counted), "chosen" what the plan takes by itself, "kernels" the instruction sets that PARE_CPU allows.
#   PEER_PYTHON=python3 bench/lowbit.sh [WEIGHT_BITS:ACTIVATION_BITS]...      (default: 1:2; a Python with onnx and numpy)
#   LAYERS: "CHANNELS@SIZE ..."; TIMES: how many threads ("1 2"); PARE_CPU: avx2, ...
PARE_DATA=${PARE_DATA:-/}
. "$(dirname "$0")/lib.sh"
header="kernels,layer,weight_bits,activation_bits,lowbit_ms,int8_ms,best_int8_ms,fp32_ms,ratio_int8,ratio_best_int8,ratio_fp32,chosen"
middle() { sort -n | awk '{a[NR]=$1} END{print a[int((NR+1)/2)]}'; }
table() { "$PARE" bench "$1" --threads "$THREADS" --seconds "${SECONDS_EACH:-0.2}" --layers ${2:+--force "$2"} 2>/dev/null; }
# layer FILE PATTERN: mean milliseconds of the convolutions.
layer() { table "$1" "$2" | awk '$2 == "QLinearConv" || $2 == "Conv" {s += $4; n++} END {if (n) print s / n}'; }
over() { awk "BEGIN{printf \"%.2f\", $1 / $2}"; }

for bits in ${*:-1:2}; do
    n=${bits%:*} m=${bits#*:}
    for size in ${LAYERS:-64@56 128@28 256@14 512@7 64@32 128@16 256@8 512@4}; do
        file=$RUNS/lowbit.onnx floats=$RUNS/lowbit-float.onnx
        "$PEER_PYTHON" "$root/bench/lowbit_layers.py" "${size%@*}" "${size#*@}" "$n" "$m" "$file"
        "$PEER_PYTHON" "$root/bench/lowbit_layers.py" "${size%@*}" "${size#*@}" "$n" "$m" "$floats" float
        for THREADS in ${TIMES:-1 2}; do
            for what in low int8 pairs winograd fp32; do : >"$RUNS/$what.txt"; done
            for round in 1 2 3; do
                layer "$file" conv_lowbit >>"$RUNS/low.txt"
                layer "$file" conv_int8 >>"$RUNS/int8.txt"
                layer "$file" conv_int8_pairs >>"$RUNS/pairs.txt"
                layer "$file" conv_int8_winograd >>"$RUNS/winograd.txt"
                layer "$floats" "" >>"$RUNS/fp32.txt"
            done
            low=$(middle <"$RUNS/low.txt") fp32=$(middle <"$RUNS/fp32.txt")
            int8=$( (middle <"$RUNS/int8.txt"; middle <"$RUNS/pairs.txt") | awk 'NF' | sort -n | head -1)
            best=$( (echo "$int8"; middle <"$RUNS/winograd.txt") | awk 'NF' | sort -n | head -1)
            chosen=$(SECONDS_EACH=0.01 table "$file" "" | awk '$2 == "QLinearConv" {print $3}' | sort -u | paste -sd+)
            row lowbit.csv "$header" "${PARE_CPU:-all}" "3x3 $size" "$n" "$m" "$low" "$int8" "$best" "$fp32" \
                "$(over "$int8" "$low")" "$(over "$best" "$low")" "$(over "$fp32" "$low")" "$chosen"
        done
    done
done
