"""Training speed of PyTorch on the networks that bench/train_speed.sh trains with pare.

    python3 train_peer.py resnet20|vgg BATCH THREADS STEPS [channels_last] [bf16]

SGD with Nesterov's momentum and weight decay, cross-entropy, pictures already in memory: less work than pare's loop, which
also reads, crops and mirrors. Prints images per second (median step), PyTorch's version and the layout.
"""
import contextlib
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn


def unit(i, o, stride=1):
    return nn.Sequential(nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o))


class Block(nn.Module):
    def __init__(self, i, o, stride):
        super().__init__()
        self.a, self.b = unit(i, o, stride), unit(o, o)
        self.stride, self.more = stride, o - i

    def forward(self, x):
        short = x[:, :, :: self.stride, :: self.stride] if self.stride > 1 else x
        if self.more:
            short = F.pad(short, (0, 0, 0, 0, self.more // 2, self.more // 2))
        return F.relu(self.b(F.relu(self.a(x))) + short)


def resnet20():
    layers, width = [unit(3, 16), nn.ReLU()], 16
    for o in (16, 32, 64):
        for k in range(3):
            layers.append(Block(width, o, 2 if k == 0 and o > 16 else 1))
            width = o
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def vgg():
    layers, width = [], 3
    for o in (64, 0, 128, 128, 0, 256, 256, 0, 256):
        layers += [unit(width, o), nn.ReLU(inplace=True)] if o else [nn.MaxPool2d(2)]
        width = o or width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 10))


def main():
    name, batch, threads, steps = sys.argv[1], *map(int, sys.argv[2:5])
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    net = {"resnet20": resnet20, "vgg": vgg}[name]().train()
    x, y = torch.randn(batch, 3, 32, 32), torch.randint(0, 10, (batch,))
    if "channels_last" in sys.argv:
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    narrow = torch.autocast("cpu", torch.bfloat16) if "bf16" in sys.argv else contextlib.nullcontext()
    best = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4, nesterov=True)
    took = []
    for _ in range(steps + 2):
        start = time.perf_counter()
        best.zero_grad()
        with narrow:
            loss = F.cross_entropy(net(x), y)
        loss.backward()
        best.step()
        took.append(time.perf_counter() - start)
    took = sorted(took[2:])
    print(f"{batch / took[len(took) // 2]:.1f} {torch.__version__} {' '.join(sys.argv[5:]) or 'contiguous'}")


main()
