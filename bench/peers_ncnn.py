#!/usr/bin/env python3
"""Times ncnn and pare in turn on one ONNX file and prints one JSON line.

ncnn reads no ONNX: the file is converted by pnnx first, weights in float32, and runs with ncnn's defaults
but for half-precision storage, which is off so that both compute the same. The conversion may simplify the
network; nothing else is done to it. Each round times ncnn here and then pare in a process of its own; the
ratio is ncnn / pare of a round. Needs the Python packages ncnn, pnnx and numpy.

    bench/peers_ncnn.py MODEL.onnx --threads 1 --pare build/release/pare [--pnnx PROGRAM] [--rounds 7]
"""
import argparse, json, os, shutil, statistics, subprocess, sys, tempfile, time
import ncnn
import numpy as np


def convert(model, shape, pnnx, folder):
    """Returns the paths of ncnn's two files."""
    copy = os.path.join(folder, "m.onnx")
    shutil.copy(model, copy)
    subprocess.run([pnnx, copy, "inputshape=[%s]" % ",".join(map(str, shape)), "fp16=0"], cwd=folder, check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return [os.path.join(folder, "m.ncnn." + end) for end in ("param", "bin")]


def load(files, threads):
    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = False
    if net.load_param(files[0]) or net.load_model(files[1]):
        sys.exit("ncnn does not load what pnnx made")
    return net


def run(net, x):
    with net.create_extractor() as e:
        e.input(net.input_names()[0], x)
        status, out = e.extract(net.output_names()[0])
        if status:
            sys.exit("ncnn cannot run the network")
        return np.array(out)


def timed(net, x, seconds):
    """Median of the runs of about so many seconds, after one that is not counted."""
    run(net, x)
    ms, start = [], time.perf_counter()
    while len(ms) < 3 or time.perf_counter() - start < seconds:
        t = time.perf_counter()
        run(net, x)
        ms.append(1e3 * (time.perf_counter() - t))
    return statistics.median(ms)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--seconds", type=float, default=0.3, help="of each side in a round")
    p.add_argument("--pare", default="build/release/pare")
    p.add_argument("--pnnx", default="pnnx")
    o = p.parse_args()
    info = json.loads(subprocess.run([o.pare, "info", o.model, "--json"], check=True, capture_output=True).stdout)
    if len(info["inputs"]) != 1 or len(info["outputs"]) != 1 or info["inputs"][0]["shape"][0] != 1:
        sys.exit("one input and one output with batch 1 are needed")
    shape = info["inputs"][0]["shape"]
    with tempfile.TemporaryDirectory() as folder:
        net = load(convert(o.model, shape, o.pnnx, folder), o.threads)
        x = np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)
        np.save(os.path.join(folder, "x.npy"), x)
        subprocess.run([o.pare, "run", o.model, "--in", os.path.join(folder, "x.npy"), "--out",
                        os.path.join(folder, "out"), "--quiet"], check=True, stdout=subprocess.DEVNULL)
        out = os.path.join(folder, "out")
        want = np.load(out if os.path.isfile(out) else os.path.join(out, os.listdir(out)[0])).ravel()
        mat = ncnn.Mat(x[0])
        got = run(net, mat).ravel()
        both = []
        for _ in range(o.rounds):
            theirs = timed(net, mat, o.seconds)
            time.sleep(0.05)  # its threads spin for a while
            report = json.loads(subprocess.run(
                [o.pare, "bench", o.model, "--threads", str(o.threads), "--seconds", str(o.seconds), "--runs", "3",
                 "--json", "--quiet"], check=True, capture_output=True).stdout)
            both.append((report["models"][0]["median_ms"], theirs))
    ratio = np.array([b / a for a, b in both])
    print(json.dumps({
        "file": o.model, "threads": o.threads, "peer": "ncnn", "version": ncnn.__version__, "rounds": o.rounds,
        "median_ms": statistics.median(a for a, _ in both), "peer_median_ms": statistics.median(b for _, b in both),
        "ratio": float(np.median(ratio)), "ratio_p10": float(np.quantile(ratio, 0.1)),
        "ratio_p90": float(np.quantile(ratio, 0.9)),
        "max_rel_diff": float(np.abs(got - want).max() / np.abs(got).max()) if got.size == want.size else None}))


main()
