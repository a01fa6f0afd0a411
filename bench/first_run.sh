#!/bin/sh
# Loading a network and its first run, and peak memory, beside ONNX Runtime: one row a network and number of threads.
#   PARE_MODELS=/folder/of/onnx/files ORT_LIB=/path/of/libonnxruntime.so bench/first_run.sh NAME...
#   THREAD_COUNTS  "1 2" by default      ROUNDS  15 by default
PARE_DATA=${PARE_DATA:-/}
. "$(dirname "$0")/lib.sh"
[ -d "${PARE_MODELS:-}" ] || { echo "PARE_MODELS must name a folder of .onnx files" >&2; exit 1; }
header="network,peer,pare_ms,peer_ms,ratio,ratio_p10,ratio_p90,pare_mib,peer_mib,memory_ratio"
out=$RUNS/first_run.json
value() { sed "s/.*\"$1\": \"*\([^,\"}]*\).*/\1/" "$out"; }
number() { awk "BEGIN{printf \"%.4g\", $1}"; }
for name; do
    for THREADS in ${THREAD_COUNTS:-1 2}; do
        python3 "$root/bench/first_run.py" "$PARE_MODELS/$name.onnx" "$ORT_LIB" --threads "$THREADS" --pare "$PARE" \
            --rounds "${ROUNDS:-15}" >"$out"
        row first_run.csv "$header" "$name" "onnxruntime $(value version)" "$(number "$(value pare_ms)")" \
            "$(number "$(value peer_ms)")" "$(number "$(value ratio)")" "$(number "$(value low)")" \
            "$(number "$(value high)")" "$(number "$(value pare_mib)")" "$(number "$(value peer_mib)")" \
            "$(number "$(value pare_mib) / $(value peer_mib)")"
    done
done
