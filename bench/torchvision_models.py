#!/usr/bin/env python3
"""Networks of torchvision with random weights as .onnx files: batch 1, input x, output y, opset 13.

    python3 bench/torchvision_models.py FOLDER [NAME]...      for example vit_b_16; all of NETWORKS by default

Each NAME becomes FOLDER/NAME.onnx. Speed does not depend on what weights say. Needs torch and torchvision (0.14 and 1.13 gave the
rows of results/dense_peers.csv).
"""
import os
import sys

import torch
import torchvision

# name: size of the input
NETWORKS = {
    "convnext_tiny": 224, "deeplabv3_mobilenet_v3_large": 320, "densenet121": 224, "efficientnet_b0": 224,
    "efficientnet_v2_s": 224, "googlenet": 224, "inception_v3": 299, "lraspp_mobilenet_v3_large": 320, "maxvit_t": 224,
    "mnasnet1_0": 224, "mobilenet_v3_large": 224, "regnet_y_800mf": 224, "resnext50_32x4d": 224,
    "shufflenet_v2_x1_0": 224, "swin_t": 224, "vit_b_16": 224,
}


class Plain(torch.nn.Module):
    """Gives the one tensor that matters of networks that return several."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        y = self.network(x)
        return y["out"] if isinstance(y, dict) else y


def make(name):
    torch.manual_seed(1)
    segments = name in torchvision.models.segmentation.__dict__
    options = {"weights": None}
    if segments:
        options["weights_backbone"] = None
    if name in ("googlenet", "inception_v3"):
        options["init_weights"] = True
    if name == "googlenet":
        options["aux_logits"] = False
    network = (torchvision.models.segmentation if segments else torchvision.models).__dict__[name](**options).eval()
    for module in network.modules():  # vit's last layer begins as zeros, which would hide every difference
        if isinstance(module, torch.nn.Linear) and not module.weight.any():
            torch.nn.init.normal_(module.weight, std=0.02)
    return Plain(network)


def main(folder, *names):
    os.makedirs(folder, exist_ok=True)
    for name in names or NETWORKS:
        if name not in NETWORKS:
            sys.exit(f"there is no network '{name}'; known: {', '.join(NETWORKS)}")
        size, path = NETWORKS[name], os.path.join(folder, name + ".onnx")
        torch.onnx.export(make(name), torch.randn(1, 3, size, size), path, opset_version=13, input_names=["x"],
                          output_names=["y"])
        print(path)


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    main(*sys.argv[1:])
