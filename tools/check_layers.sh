#!/bin/sh
# Fails if a file under src/ includes a module that src/layers.txt does not allow its own to use.
cd "$(dirname "$0")/../src" || exit 2
grep -rn --include='*.[ch]' '^#include "' . | sed 's|^\./||' | awk '
    FILENAME == "layers.txt" { if ($1 !~ /^#/) { m = $1; sub(":", "", m)
        may[m] = " " m " " substr($0, index($0, ":") + 1) " " } next }
    { split($0, f, ":"); from = f[1]; sub("/[^/]*$", "", from)
      split($0, q, "\""); to = q[2]
      if (to ~ /\.pb-c\.h$/) next # generated from the ONNX schema, only in src/onnx
      sub("/[^/]*$", "", to)
      if (to == "pare") next
      if (!(from in may) || index(may[from], " " to " ") == 0) {
          print f[1] ":" f[2] ": " from " may not include " q[2]; bad = 1 } }
    END { exit bad }' layers.txt -
