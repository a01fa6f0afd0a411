#!/usr/bin/env python3
"""Copies the installed packages onnxruntime and ncnn so that the copies see a processor without AVX-512, AVX-VNNI and AMX.

With them a machine that has those can time what happens on one with AVX2 and FMA only: neither package has an option
for it. Two kinds of places are changed in the copies' libraries, and nothing else:

  xgetbv           which registers the system saves: made to answer "x87, SSE and AVX" (7), not those of AVX-512 and AMX;
  cpuid leaf 7, 1  AVX-VNNI and its kin, which need no other registers: asked for sub-leaf 255, which is always empty.

A library where these are not found as known is refused, and nothing is written. Other processors' clocks, caches and
execution units are not imitated.

    python bench/cap_avx2.py FOLDER       a Python that has the packages; FOLDER receives onnxruntime/ and ncnn/
    PARE_CPU=avx2 PARE_ORT=FOLDER/onnxruntime PYTHONPATH=FOLDER ...       uses them (pare and Python)
"""
import importlib.util, pathlib, re, shutil, sys

XGETBV = b"\x0f\x01\xd0"
NEAR = 64  # a test of the processor asks cpuid shortly before; the same bytes also occur inside other instructions
LEAF_7_1 = b"\xb8\x07\x00\x00\x00\xb9\x01\x00\x00\x00\x0f\xa2"  # mov eax, 7; mov ecx, 1; cpuid
PUSH_POP = b"\x6a\x07\x58"  # push 7; pop rax
# Bytes before xgetbv that set ecx to 0, and what it becomes: the last is in a function that keeps variables below the
# stack pointer, so it sets only al, all of the answer that is looked at there.
FORMS = {
    b"\x31\xc9": PUSH_POP,  # xor ecx, ecx
    b"\x31\xf6\x89\xf1": PUSH_POP,  # xor esi, esi; mov ecx, esi
    b"\x44\x89\xc9\x48\x09\xda\x48\x89\xd5": b"\xb0\x07\x90",  # mov ecx, r9d; or rdx, rbx; mov rbp, rdx -> mov al, 7; nop
}


def capped(code, name):
    """Returns the changed bytes and the numbers of the two kinds of places."""
    out, answers = bytearray(code), 0
    for m in re.finditer(re.escape(XGETBV), code):
        at = m.start()
        form = next((f for f in FORMS if code[at - len(f):at] == f), None)
        if form:
            out[at:at + 3] = FORMS[form]
            answers += 1
        elif b"\x0f\xa2" in code[at - NEAR:at]:
            sys.exit("%s: xgetbv at 0x%x after bytes that this program does not know: nothing written" % (name, at))
    leaves = [m.start() for m in re.finditer(re.escape(LEAF_7_1), code)]
    for at in leaves:
        out[at + 6] = 255
    if not answers or not leaves:
        sys.exit("%s: %d uses of xgetbv and %d of cpuid leaf 7, 1 found, some of each expected: nothing written"
                 % (name, answers, len(leaves)))
    return bytes(out), answers, len(leaves)


def main():
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    target, work = pathlib.Path(sys.argv[1]), []
    for package, libraries in (("onnxruntime", ("capi/libonnxruntime.so*", "capi/onnxruntime_pybind11_state*.so")),
                               ("ncnn", ("ncnn*.so",))):
        spec = importlib.util.find_spec(package)
        if not spec or not spec.submodule_search_locations:
            print("%s: not installed here" % package)
            continue
        folder, changed = pathlib.Path(spec.submodule_search_locations[0]), {}
        for path in sorted(p for pattern in libraries for p in folder.glob(pattern)):
            changed[path.relative_to(folder)] = capped(path.read_bytes(), str(path))
        if not changed:
            sys.exit("%s: no library in %s: nothing written" % (package, folder))
        work.append((package, folder, changed))
    for package, folder, changed in work:
        if (target / package).exists():
            sys.exit("%s exists: remove it first" % (target / package))
        shutil.copytree(folder, target / package, ignore=shutil.ignore_patterns("__pycache__"))
        beside = folder.parent / (package + ".libs")  # where a wheel keeps the libraries that it needs
        if beside.is_dir():
            shutil.copytree(beside, target / beside.name, dirs_exist_ok=True)
        for name, (code, answers, leaves) in changed.items():
            (target / package / name).write_bytes(code)
            print("%s: %d answers of xgetbv, %d leaves of cpuid changed" % (target / package / name, answers, leaves))


main()
