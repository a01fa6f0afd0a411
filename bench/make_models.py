#!/usr/bin/env python3
"""The networks of results/dense_peers.csv, int8.csv and tucker.csv: their published shapes with random weights.

    python3 bench/make_models.py FOLDER [NAME]...      for example resnet18_b1 or resnet18_b1.int8; all by default

Each NAME becomes FOLDER/NAME.onnx: batch 1, input x, output y, opset 13, batch normalisation already folded into the
convolutions, as exporters leave it. NAME.int8 is the same network quantised by onnxruntime.quantization: QDQ, uint8
activations, int8 weights by output channel, ranges from random inputs. Speed does not depend on what weights say; accuracy
would. tucker25 and tucker50 have their 3x3 convolutions behind the first as Tucker-2 products, three convolutions with
nothing between, of a quarter and half of the channels. The same NAME gives the same numbers every time. Needs numpy and onnx, and onnxruntime for .int8.
"""
import logging
import os
import sys
import tempfile
import zlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Net:
    """A network that grows by one node at a time; values are (name, channels)."""

    def __init__(self, name, size, classes):
        self.rng = np.random.default_rng(zlib.crc32(name.encode()))
        self.name, self.size, self.classes = name, size, classes
        self.nodes, self.constants = [], []
        self.x = ("x", 3)
        self.ranks = 0.25 if "tucker25" in name else 0.5 if "tucker50" in name else None

    def add(self, op, inputs, channels, **attributes):
        out = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [out], name=f"{op}_{len(self.nodes)}", **attributes))
        return out, channels

    def constant(self, array):
        self.constants.append(numpy_helper.from_array(array.astype(np.float32), f"c{len(self.constants)}"))
        return self.constants[-1].name

    def indices(self, values):
        self.constants.append(numpy_helper.from_array(np.array(values, np.int64), f"c{len(self.constants)}"))
        return self.constants[-1].name

    def weights(self, shape, fan_in, gain=1.0, bias=True):
        w = self.constant(self.rng.standard_normal(shape, np.float32) * (gain * np.sqrt(2 / fan_in)))
        return [w, self.constant(0.02 * self.rng.standard_normal(shape[0], np.float32))] if bias else [w]

    def conv(self, x, channels, kernel, stride=1, pad=0, group=1, gain=1.0, bias=True):
        """`gain` below 1 for the last convolution of a residual branch keeps the sums from growing."""
        shape = (channels, x[1] // group, kernel, kernel)
        return self.add("Conv", [x[0]] + self.weights(shape, shape[1] * kernel * kernel, gain, bias), channels,
                        kernel_shape=[kernel, kernel], strides=[stride, stride], pads=[pad] * 4, group=group)

    def conv3(self, x, channels, stride, gain=1.0):
        """3x3, padded; a Tucker product where the network has ranks."""
        if self.ranks is None:
            return self.conv(x, channels, 3, stride, 1, gain=gain)
        half = np.sqrt(0.5)  # nothing between them: no rectifier to make up for
        y = self.conv(x, int(x[1] * self.ranks), 1, bias=False, gain=half)
        y = self.conv(y, int(channels * self.ranks), 3, stride, 1, bias=False, gain=half)
        return self.conv(y, channels, 1, gain=gain)

    def relu(self, x):
        return self.add("Relu", [x[0]], x[1])

    def relu6(self, x):
        return self.add("Clip", [x[0], self.constant(np.array(0)), self.constant(np.array(6))], x[1])

    def max_pool(self, x, kernel, stride, pad=0, ceil=0):
        return self.add("MaxPool", [x[0]], x[1], kernel_shape=[kernel, kernel], strides=[stride, stride],
                        pads=[pad] * 4, ceil_mode=ceil)

    def join(self, a, b):
        return self.add("Add", [a[0], b[0]], a[1])

    def flatten(self, x, positions=1):
        return self.add("Flatten", [x[0]], x[1] * positions, axis=1)

    def linear(self, x, channels):
        return self.add("Gemm", [x[0]] + self.weights((channels, x[1]), x[1]), channels, transB=1)

    def pooled(self, x):
        return self.flatten(self.add("GlobalAveragePool", [x[0]], x[1]))

    def model(self, y):
        self.nodes[-1].output[0] = "y"
        shape = [1, 3, self.size, self.size]
        graph = helper.make_graph(self.nodes, self.name,
                                  [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
                                  [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, y[1]])], self.constants)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
        onnx.checker.check_model(made)
        return made


def basic(n, x, channels, stride):
    short = x if stride == 1 and x[1] == channels else n.conv(x, channels, 1, stride)
    y = n.relu(n.conv3(x, channels, stride))
    return n.relu(n.join(n.conv3(y, channels, 1, gain=0.3), short))


def bottleneck(n, x, channels, stride):
    short = x if stride == 1 and x[1] == 4 * channels else n.conv(x, 4 * channels, 1, stride)
    y = n.relu(n.conv(n.relu(n.conv(x, channels, 1)), channels, 3, stride, 1))
    return n.relu(n.join(n.conv(y, 4 * channels, 1, gain=0.3), short))


def resnet(n, block, repeats, widths=(64, 128, 256, 512), photo=True):
    if photo:
        x = n.max_pool(n.relu(n.conv(n.x, widths[0], 7, 2, 3)), 3, 2, 1)
    else:
        x = n.relu(n.conv(n.x, widths[0], 3, 1, 1))
    for stage, (count, channels) in enumerate(zip(repeats, widths)):
        for i in range(count):
            x = block(n, x, channels, 2 if stage > 0 and i == 0 else 1)
    return n.linear(n.pooled(x), n.classes)


def vgg16(n):
    x = n.x
    for count, channels in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
        for _ in range(count):
            x = n.relu(n.conv(x, channels, 3, 1, 1))
        x = n.max_pool(x, 2, 2)
    x = n.flatten(x, 7 * 7)
    return n.linear(n.relu(n.linear(n.relu(n.linear(x, 4096)), 4096)), n.classes)


def alexnet(n):
    x = n.max_pool(n.relu(n.conv(n.x, 64, 11, 4, 2)), 3, 2)
    x = n.max_pool(n.relu(n.conv(x, 192, 5, 1, 2)), 3, 2)
    for channels in (384, 256, 256):
        x = n.relu(n.conv(x, channels, 3, 1, 1))
    x = n.flatten(n.max_pool(x, 3, 2), 6 * 6)
    return n.linear(n.relu(n.linear(n.relu(n.linear(x, 4096)), 4096)), n.classes)


def squeezenet(n):
    x = n.relu(n.conv(n.x, 64, 3, 2))
    for squeezed, expanded, pool in ((16, 64, True), (16, 64, False), (32, 128, True), (32, 128, False),
                                     (48, 192, True), (48, 192, False), (64, 256, False), (64, 256, False)):
        x = n.max_pool(x, 3, 2, ceil=1) if pool else x
        s = n.relu(n.conv(x, squeezed, 1))
        a, b = n.relu(n.conv(s, expanded, 1)), n.relu(n.conv(s, expanded, 3, 1, 1))
        x = n.add("Concat", [a[0], b[0]], 2 * expanded, axis=1)
    return n.pooled(n.relu(n.conv(x, n.classes, 1)))


def mobilenet(n):
    x = n.relu6(n.conv(n.x, 32, 3, 2, 1))
    for expand, channels, count, stride in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2),
                                            (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)):
        for i in range(count):
            step = stride if i == 0 else 1
            y = x if expand == 1 else n.relu6(n.conv(x, expand * x[1], 1))
            y = n.relu6(n.conv(y, y[1], 3, step, 1, group=y[1]))
            y = n.conv(y, channels, 1, gain=0.5)
            x = n.join(x, y) if step == 1 and x[1] == channels else y
    return n.linear(n.pooled(n.relu6(n.conv(x, 1280, 1))), n.classes)


def layer_norm(n, x):
    """As exporters of opset 13 spell it out; of 1 x tokens x channels."""
    c = n.add("Sub", [x[0], n.add("ReduceMean", [x[0]], 1, axes=[-1], keepdims=1)[0]], x[1])
    v = n.add("ReduceMean", [n.add("Pow", [c[0], n.constant(np.array(2))], x[1])[0]], 1, axes=[-1], keepdims=1)
    v = n.add("Sqrt", [n.add("Add", [v[0], n.constant(np.array(1e-6))], 1)[0]], 1)
    y = n.add("Mul", [n.add("Div", [c[0], v[0]], x[1])[0], n.constant(np.ones(x[1]))], x[1])
    return n.add("Add", [y[0], n.constant(np.zeros(x[1]))], x[1])


def gelu(n, x):
    e = n.add("Erf", [n.add("Div", [x[0], n.constant(np.array(2 ** 0.5))], x[1])[0]], x[1])
    y = n.add("Mul", [x[0], n.add("Add", [e[0], n.constant(np.array(1))], x[1])[0]], x[1])
    return n.add("Mul", [y[0], n.constant(np.array(0.5))], x[1])


def tokens_linear(n, x, channels, gain=1.0):
    w, b = n.weights((x[1], channels), 2 * x[1], gain)[0], n.constant(0.02 * n.rng.standard_normal(channels, np.float32))
    return n.add("Add", [n.add("MatMul", [x[0], w], channels)[0], b], channels)


def attention(n, x, heads):
    def part():
        shape = n.indices([1, -1, heads, x[1] // heads])
        return n.add("Reshape", [tokens_linear(n, x, x[1])[0], shape], x[1])[0]

    q, k, v = part(), part(), part()
    q = n.add("Transpose", [q], x[1], perm=[0, 2, 1, 3])[0]
    k = n.add("Transpose", [k], x[1], perm=[0, 2, 3, 1])[0]
    v = n.add("Transpose", [v], x[1], perm=[0, 2, 1, 3])[0]
    a = n.add("Div", [n.add("MatMul", [q, k], 1)[0], n.constant(np.array((x[1] // heads) ** 0.5))], 1)
    a = n.add("Softmax", [a[0]], 1, axis=-1)
    y = n.add("Transpose", [n.add("MatMul", [a[0], v], x[1])[0]], x[1], perm=[0, 2, 1, 3])
    y = n.add("Reshape", [y[0], n.indices([1, -1, x[1]])], x[1])
    return tokens_linear(n, y, x[1], gain=0.3)


def vit(n, channels, depth, heads, patch=16):
    """Mean of the tokens in place of a class token."""
    x = n.conv(n.x, channels, patch, patch)
    x = n.add("Reshape", [x[0], n.indices([1, channels, -1])], channels)
    x = n.add("Transpose", [x[0]], channels, perm=[0, 2, 1])
    tokens = (n.size // patch) ** 2
    x = n.add("Add", [x[0], n.constant(0.02 * n.rng.standard_normal((1, tokens, channels), np.float32))], channels)
    for _ in range(depth):
        x = n.join(x, attention(n, layer_norm(n, x), heads))
        y = gelu(n, tokens_linear(n, layer_norm(n, x), 4 * channels))
        x = n.join(x, tokens_linear(n, y, channels, gain=0.3))
    x = n.add("ReduceMean", [layer_norm(n, x)[0]], channels, axes=[1], keepdims=0)
    return n.linear(x, n.classes)


# name: size of the input, classes, network
NETWORKS = {
    "resnet18_b1": (224, 1000, lambda n: resnet(n, basic, (2, 2, 2, 2))),
    "resnet50_b1": (224, 1000, lambda n: resnet(n, bottleneck, (3, 4, 6, 3))),
    "vgg16_b1": (224, 1000, vgg16),
    "alexnet_b1": (224, 1000, alexnet),
    "squeezenet1_1_b1": (224, 1000, squeezenet),
    "mobilenetv2_b1": (224, 1000, mobilenet),
    "resnet18_cifar_b1": (32, 10, lambda n: resnet(n, basic, (2, 2, 2, 2), photo=False)),
    "resnet18_cifar_tucker25_b1": (32, 10, lambda n: resnet(n, basic, (2, 2, 2, 2), photo=False)),
    "resnet18_cifar_tucker50_b1": (32, 10, lambda n: resnet(n, basic, (2, 2, 2, 2), photo=False)),
    "vit_tiny_b1": (224, 1000, lambda n: vit(n, 192, 12, 3)),
    "resnet20_cifar_b1": (32, 10, lambda n: resnet(n, basic, (3, 3, 3), (16, 32, 64), photo=False)),
}


def dense(name):
    size, classes, layers = NETWORKS[name]
    net = Net(name, size, classes)
    return net.model(layers(net))


def quantise(name, path):
    from onnxruntime import quantization as q

    logging.getLogger().setLevel(logging.ERROR)  # it recommends folding, which has nothing left to do

    class Inputs(q.CalibrationDataReader):
        def __init__(self):
            rng = np.random.default_rng(1)
            size = NETWORKS[name][0]
            self.left = iter([{"x": rng.standard_normal((1, 3, size, size), np.float32)} for _ in range(4)])

        def get_next(self):
            return next(self.left, None)

    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "dense.onnx")
        onnx.save(dense(name), source)
        q.quantize_static(source, path, Inputs(), quant_format=q.QuantFormat.QDQ, per_channel=True,
                          activation_type=q.QuantType.QUInt8, weight_type=q.QuantType.QInt8)


def main(folder, *names):
    os.makedirs(folder, exist_ok=True)
    for name in names or [n + kind for n in NETWORKS for kind in ("", ".int8")]:
        base = name.removesuffix(".int8")
        if base not in NETWORKS:
            sys.exit(f"there is no network '{name}'; known: {', '.join(NETWORKS)}, each with or without .int8")
        path = os.path.join(folder, name + ".onnx")
        if name == base:
            onnx.save(dense(name), path)
        else:
            quantise(base, path)
        print(path)


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    main(*sys.argv[1:])
