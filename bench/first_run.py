#!/usr/bin/env python3
"""Times loading a network and its first run, and takes peak memory, beside ONNX Runtime; prints one JSON line.

pare: the whole process `pare run`, from its start to its end, and that process's peak. ONNX Runtime: a process of
its own that holds nothing else, through its C interface; its time begins when its library is loaded and ends with
the first output, and what the process held before it loaded the library is taken off its peak. Both differences
favour ONNX Runtime. Each round runs pare and then ONNX Runtime; the ratio is ONNX Runtime / pare of a round.
Needs a Python without packages, and the shared library.

    bench/first_run.py MODEL.onnx LIBRARY --threads 1 --pare build/release/pare [--rounds 7]
"""
import argparse, array, ctypes, json, math, os, resource, statistics, subprocess, sys, tempfile, time

# Positions in the table of functions, whose order is frozen.
MESSAGE, ENV, SESSION, RUN, OPTIONS, OPTIMISE, INTRA, INTER, TENSOR, MEMORY = 2, 3, 7, 9, 10, 23, 24, 25, 49, 69
P = ctypes.c_void_p


def resident():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20


def peer(model, library, threads, names, shape):
    """One load and run of ONNX Runtime in this process."""
    before = resident()
    base = ctypes.CDLL(library).OrtGetApiBase
    base.restype = ctypes.POINTER(P * 2)
    get, version = base().contents
    table = ctypes.cast(ctypes.CFUNCTYPE(P, ctypes.c_uint32)(get)(1), ctypes.POINTER(P))

    def call(index, *args):
        status = ctypes.CFUNCTYPE(P, *[type(a) for a in args])(table[index])(*args)
        if status:
            sys.exit(ctypes.CFUNCTYPE(ctypes.c_char_p, P)(table[MESSAGE])(status).decode())

    def out():
        made = P()
        return made, ctypes.cast(ctypes.pointer(made), P)

    n = math.prod(shape)
    x = (ctypes.c_float * n)(*[i * 2654435761 % 65536 / 32768 - 1 for i in range(n)])
    begin = time.perf_counter()
    env, to = out()
    call(ENV, ctypes.c_int(3), ctypes.c_char_p(b"first run"), to)
    options, to = out()
    call(OPTIONS, to)
    call(OPTIMISE, options, ctypes.c_int(99))
    call(INTRA, options, ctypes.c_int(threads))
    call(INTER, options, ctypes.c_int(1))
    session, to = out()
    call(SESSION, env, ctypes.c_char_p(model.encode()), options, to)
    memory, to = out()
    call(MEMORY, ctypes.c_int(1), ctypes.c_int(0), to)
    tensor, to = out()
    call(TENSOR, memory, ctypes.cast(x, P), ctypes.c_size_t(4 * n), (ctypes.c_int64 * len(shape))(*shape),
         ctypes.c_size_t(len(shape)), ctypes.c_int(1), to)
    result, to = out()
    call(RUN, session, P(), (ctypes.c_char_p * 1)(names[0].encode()), ctypes.cast(ctypes.pointer(tensor), P),
         ctypes.c_size_t(1), (ctypes.c_char_p * 1)(names[1].encode()), ctypes.c_size_t(1), to)
    ms = 1e3 * (time.perf_counter() - begin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before
    print(json.dumps({"ms": ms, "mib": peak, "version": ctypes.CFUNCTYPE(ctypes.c_char_p)(version)().decode()}))
    sys.stdout.flush()
    os._exit(0)


def save_input(path, shape):
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (%s,), }" % ",".join(map(str, shape))
    header += " " * (-(11 + len(header)) % 64) + "\n"
    n = math.prod(shape)
    with open(path, "wb") as f:
        f.write(b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header.encode())
        array.array("f", [i * 2654435761 % 65536 / 32768 - 1 for i in range(n)]).tofile(f)


def own(command):
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, use = os.wait4(process.pid, 0)
    if status:
        sys.exit("pare failed")
    return {"ms": 1e3 * (time.perf_counter() - begin), "mib": use.ru_maxrss / 1024}


def main():
    p = argparse.ArgumentParser()
    p.add_argument("model")
    p.add_argument("library")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--pare", default="pare")
    p.add_argument("--peer", nargs=3, metavar=("INPUT", "OUTPUT", "SHAPE"), help=argparse.SUPPRESS)
    o = p.parse_args()
    if o.peer:
        peer(o.model, o.library, o.threads, o.peer[:2], [int(d) for d in o.peer[2].split("x")])
    info = json.loads(subprocess.check_output([o.pare, "info", o.model, "--json"]))
    x, y = info["inputs"][0], info["outputs"][0]
    shape = [max(d, 1) for d in x["shape"]]
    theirs = [sys.executable, "-S", __file__, o.model, o.library, "--threads", str(o.threads), "--peer", x["name"],
              y["name"], "x".join(map(str, shape))]
    a, b = [], []
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "x.npy")
        save_input(file, shape)
        ours = [o.pare, "run", o.model, "--in", file, "--threads", str(o.threads), "--quiet"]
        for r in range(o.rounds + 1):  # the first one brings files into memory
            one, other = own(ours), json.loads(subprocess.check_output(theirs))
            if r:
                a.append(one)
                b.append(other)
    middle = lambda list, key: statistics.median(e[key] for e in list)
    ratios = sorted(t["ms"] / u["ms"] for t, u in zip(b, a))
    print(json.dumps({"version": b[0]["version"], "pare_ms": middle(a, "ms"), "peer_ms": middle(b, "ms"),
                      "ratio": statistics.median(ratios), "low": ratios[len(ratios) // 10],
                      "high": ratios[len(ratios) * 9 // 10], "pare_mib": max(e["mib"] for e in a),
                      "peer_mib": min(e["mib"] for e in b)}))


main()
