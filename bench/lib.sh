# Shared by the experiments beside this file: where things are, and how a result becomes a CSV row.
#   PARE       the program (default: build/release/pare)
#   PARE_DATA  folder with the sets and models that the experiment names (cifar10/, models/NAME/model.onnx, ...)
#   RUNS       where long work keeps checkpoints and logs (default: runs/, ignored by git)
#   THREADS    threads for training (default: all)
#   CAPPED     folder made by cap_avx2.py: pare and the Python packages in it use AVX2 only, and rows say so
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
PARE=${PARE:-$root/build/release/pare}
RUNS=${RUNS:-$root/runs}
THREADS=${THREADS:-$(nproc)}
results=$root/bench/results
[ -x "$PARE" ] || { echo "build first: cmake --preset release && cmake --build --preset release" >&2; exit 1; }
[ -d "${PARE_DATA:-}" ] || { echo "PARE_DATA must name a folder with the data; see bench/README.md" >&2; exit 1; }
mkdir -p "$RUNS" "$results"

note=
if [ -n "${CAPPED:-}" ]; then
    export PARE_CPU=avx2 PARE_ORT="$CAPPED/onnxruntime" PYTHONPATH="$CAPPED${PYTHONPATH:+:$PYTHONPATH}"
    note=" as AVX2 only (PARE_CPU=avx2; peers capped)"
fi
machine() { awk -F': ' '/model name/{n=$2} /cpu family/{f=$2} /^model\t/{m=$2} END{printf "%s family %s model %s%s", n, f, m, note}' note="$note" /proc/cpuinfo; }
commit() { git -C "$root" rev-parse --short HEAD 2>/dev/null || echo unknown; }

# row FILE HEADER FIELD...: appends a dated row; writes the header line first if the file is new.
row() {
    file=$results/$1; header=$2; shift 2
    [ -f "$file" ] || echo "date,machine,threads,commit,$header" >"$file"
    line="$(date -u +%F),$(machine),$THREADS,$(commit)"
    for field; do line="$line,$field"; done
    echo "$line" >>"$file"
    echo "$line"
}

# json FILE a.b: the value of a nested key in pare's indented JSON (numbers, words, no lists).
json() {
    awk -v want="$2" '
        { line = $0; sub(/^ */, "", line); depth = (length($0) - length(line)) / 2
          if (match(line, /^"[^"]*":/)) {
              key[depth] = substr(line, 2, RLENGTH - 3); path = key[1]
              for (i = 2; i <= depth; i++) path = path "." key[i]
              value = substr(line, RLENGTH + 1); gsub(/^ *|,$|"/, "", value)
              if (path == want) { print value; exit } } }' "$1"
}

model() { echo "$PARE_DATA/models/$1/model.onnx"; }
pre() { echo "$PARE_DATA/models/models.json:$1"; }
# ratio REPORT KEY: after / before of a compress report.
ratio() { awk "BEGIN{printf \"%.4f\", $(json "$1" "after.$2") / $(json "$1" "before.$2")}"; }
# speedup BENCH: how many times as fast the second model of a bench report is as the first.
speedup() { awk -F': ' '/"ratio_to_first"/{gsub(/,/,"",$2); r=$2} END{printf "%.3f", 1 / r}' "$1"; }
