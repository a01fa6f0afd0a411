#!/bin/sh
# Whole networks beside other runtimes, in turn: one row a network, peer and number of threads.
#   PARE_MODELS=/folder/of/make_models.py bench/models.sh [NAME]...     (default: every *.onnx there)
#   THREAD_COUNTS  "1 2" by default      SECONDS_EACH  for pare and for the peer, 2 by default
#   PEER_PYTHON    the Python whose package onnxruntime is used (default: python3)
#   TABLE          the file in results/ that gets the rows: by default int8.csv for NAME.int8, else dense_peers.csv
#   TOLERANCE      of outputs, 1e-3 by default: ONNX Runtime's int8 kernels without VNNI saturate, so they need more
#   ROUNDS         in which ncnn and pare are timed, 7 by default
#   NCNN_PYTHON, PNNX   a Python with the packages ncnn and numpy, and the program pnnx: adds rows for ncnn
PARE_DATA=${PARE_DATA:-/}
. "$(dirname "$0")/lib.sh"
[ -d "${PARE_MODELS:-}" ] || { echo "PARE_MODELS must name a folder of .onnx files" >&2; exit 1; }
header="network,peer,pare_ms,peer_ms,ratio,ratio_p10,ratio_p90,max_rel_diff,foreign_processors"
short() { case $1 in [0-9]*) awk "BEGIN{printf \"%.4g\", $1}" ;; *) echo "$1" ;; esac; }
# nth REPORT KEY N: the N-th value of a key in pare's indented JSON.
nth() { awk -v key="\"$2\":" -v n="$3" '$1 == key && ++k == n { v = $0; sub(/^[^:]*: */, "", v); gsub(/,$|"/, "", v); print v; exit }' "$1"; }
[ $# -gt 0 ] || set -- $(cd "$PARE_MODELS" && ls -- *.onnx | sed 's/\.onnx$//')
for name; do
    case $name in *.int8) table=${TABLE:-int8.csv} ;; *) table=${TABLE:-dense_peers.csv} ;; esac
    for THREADS in ${THREAD_COUNTS:-1 2}; do
        quiet=0
        net=$PARE_MODELS/$name.onnx out=$RUNS/models.json
        for try in 1 2 3; do # a disturbed measurement is repeated, and no row in the end
            "$PARE" bench "$net" --peers --peer-python "${PEER_PYTHON:-python3}" --threads "$THREADS" \
                --seconds "${SECONDS_EACH:-2}" --runs 7 --tolerance "${TOLERANCE:-1e-3}" --json --quiet >"$out" || { quiet=0; break; }
            foreign=$(nth "$out" foreign_processors 1) # null: the system does not tell
            quiet=$(awk "BEGIN{print (\"$foreign\" != \"null\" && \"$foreign\" + 0 <= 0.1)}")
            [ "$quiet" = 1 ] && break
            echo "$name, $THREADS threads: other processes were running, try $try" >&2
            quiet=0
        done
        if [ "$quiet" = 1 ]; then
            row "$table" "$header" "$name" "onnxruntime $(nth "$out" version 1)" \
                "$(short "$(nth "$out" median_ms 1)")" "$(short "$(nth "$out" median_ms 2)")" "$(short "$(nth "$out" ratio 1)")" "$(short "$(nth "$out" ratio_p10 2)")" \
                "$(short "$(nth "$out" ratio_p90 2)")" "$(short "$(nth "$out" max_rel_diff 1)")" "$(short "$(nth "$out" foreign_processors 1)")"
        fi
        [ -n "${NCNN_PYTHON:-}" ] || continue
        "$NCNN_PYTHON" "$root/bench/peers_ncnn.py" "$net" --threads "$THREADS" --rounds "${ROUNDS:-7}" --pare "$PARE" --pnnx "${PNNX:-pnnx}" |
            tr ',{}' '\n\n\n' | sed 's/^ */ /' >"$out" || continue
        [ -s "$out" ] || continue
        row "$table" "$header" "$name" "ncnn $(nth "$out" version 1)" "$(short "$(nth "$out" median_ms 1)")" \
            "$(short "$(nth "$out" peer_median_ms 1)")" "$(short "$(nth "$out" ratio 1)")" "$(short "$(nth "$out" ratio_p10 1)")" "$(short "$(nth "$out" ratio_p90 1)")" \
            "$(short "$(nth "$out" max_rel_diff 1)")" ""
    done
done
