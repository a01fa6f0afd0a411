#!/bin/sh
# Quantised networks beside the same ones in float32, both run by pare, in turn: one row a network and number of threads.
#   PARE_MODELS=/folder/of/onnx/files PARE_CPU=avx2 bench/int8_own.sh [NAME]...     (default: every NAME.int8.onnx there)
#   PARE_CPU       caps the instruction set (c, avx2, avx512)      THREAD_COUNTS, SECONDS_EACH: as for models.sh
PARE_DATA=${PARE_DATA:-/}
. "$(dirname "$0")/lib.sh"
[ -d "${PARE_MODELS:-}" ] || { echo "PARE_MODELS must name a folder of .onnx files" >&2; exit 1; }
[ $# -gt 0 ] || set -- $(cd "$PARE_MODELS" && ls -- *.int8.onnx | sed 's/\.int8\.onnx$//')
value() { awk -v key="\"$1\":" -v n="$2" '$1 == key && ++k == n { gsub(/,/, "", $2); printf "%.4g", $2; exit }' "$out"; }
for name; do
    for THREADS in ${THREAD_COUNTS:-1 2}; do
        out=$RUNS/int8_own.json
        "$PARE" bench "$PARE_MODELS/$name.int8.onnx" "$PARE_MODELS/$name.onnx" --threads "$THREADS" \
            --seconds "${SECONDS_EACH:-2}" --runs 7 --json --quiet >"$out"
        awk "BEGIN{exit !($(value foreign_processors 1) < 0.15)}" || { # no row of a disturbed measurement
            echo "$name, $THREADS threads: other processes were running" >&2
            continue
        }
        row int8_own.csv "network,instructions,int8_ms,float32_ms,ratio,foreign_processors" "$name" "${PARE_CPU:-all}" \
            "$(value median_ms 1)" "$(value median_ms 2)" "$(value ratio_to_first 2)" "$(value foreign_processors 1)"
    done
done
