"""Helper of lowbit.sh, for a Python with onnx and numpy.
  lowbit_layers.py CHANNELS SIZE WEIGHT_BITS ACTIVATION_BITS FILE [float]
A chain of four padded 3x3 convolutions of CHANNELS channels on SIZE x SIZE maps, quantised in ONNX's QDQ form: weights
are WEIGHT_BITS-bit codes (1 bit: -1 and +1), activations unsigned codes that a Clip keeps below 2^ACTIVATION_BITS (8: no
Clip). With "float", the same chain in float32.
"""
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def main(channels, size, weight_bits, activation_bits, path, floats):
    rng = np.random.default_rng(1)
    nodes, constants = [], []

    def constant(name, x):
        constants.append(numpy_helper.from_array(np.asarray(x), name))
        return name

    def node(op, inputs, output, **attributes):
        nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    codes = 2**activation_bits - 1
    step = np.float32(3 / codes)
    scale, zero = constant("scale", step), constant("zero", np.uint8(0))
    least, most = constant("least", np.float32(0)), constant("most", np.float32(codes * step))

    def quantised(x, name):
        if activation_bits < 8:
            x = node("Clip", [x, least, most], name + "_clip")
        x = node("QuantizeLinear", [x, scale, zero], name + "_q")
        return node("DequantizeLinear", [x, scale, zero], name + "_dq")

    x = "x" if floats else quantised("x", "input")
    for i in range(4):
        name, shape = "conv%d" % (i + 1), (channels, channels, 3, 3)
        if weight_bits == 1:
            w = rng.integers(0, 2, shape) * 2 - 1
        else:
            w = rng.integers(-(2 ** (weight_bits - 1)), 2 ** (weight_bits - 1), shape)
        unit = np.float32(1 / (np.std(w) * 3 * channels**0.5))
        if floats:
            weight = constant(name + "_w", (w * unit).astype(np.float32))
        else:
            weight = node(
                "DequantizeLinear",
                [constant(name + "_w", w.astype(np.int8)), constant(name + "_s", unit)],
                name + "_w_dq",
            )
        bias = constant(name + "_b", np.full(channels, 1, np.float32))
        x = node("Conv", [x, weight, bias], name, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        x = node("Relu", [x], name + "_relu") if floats else quantised(x, name)
    shape = [1, channels, size, size]
    graph = helper.make_graph(
        nodes,
        "layers",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, shape)],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)


main(*map(int, sys.argv[1:5]), sys.argv[5], len(sys.argv) > 6)
