"""Triton: one fused kernel; the seed's way where Triton or the C compiler it needs is missing."""

import shutil

import direct

try:
    import torch
    import triton
    import triton.language as tl
except ImportError:
    triton = None

WAVES, POINTS = 64, 64

if triton is not None:

    @triton.jit
    def fused(points, weights, waves, factors, count, size, M: tl.constexpr, N: tl.constexpr):
        m = tl.program_id(0) * M + tl.arange(0, M)
        mine = m < size
        x = tl.load(waves + 3 * m, mask=mine, other=0.0)
        y = tl.load(waves + 3 * m + 1, mask=mine, other=0.0)
        z = tl.load(waves + 3 * m + 2, mask=mine, other=0.0)
        real = tl.zeros((M,), tl.float32)
        imaginary = tl.zeros((M,), tl.float32)
        for begin in range(0, count, N):
            n = begin + tl.arange(0, N)
            there = n < count
            px = tl.load(points + 3 * n, mask=there, other=0.0)
            py = tl.load(points + 3 * n + 1, mask=there, other=0.0)
            pz = tl.load(points + 3 * n + 2, mask=there, other=0.0)
            weight = tl.load(weights + n, mask=there, other=0.0)
            phase = x[:, None] * px[None, :] + y[:, None] * py[None, :] + z[:, None] * pz[None, :]
            real += tl.sum(weight[None, :] * tl.cos(phase), axis=1)
            imaginary += tl.sum(weight[None, :] * tl.sin(phase), axis=1)
        tl.store(factors + 2 * m, real, mask=mine)
        tl.store(factors + 2 * m + 1, imaginary, mask=mine)


def usable():
    compiler = shutil.which("gcc") or shutil.which("cc") or shutil.which("clang")
    return triton is not None and compiler is not None and torch.cuda.is_available()


def structure_factors(points, weights, waves):
    if not usable():
        return direct.structure_factors(points, weights, waves)
    points, weights, waves = (torch.from_numpy(each).cuda() for each in (points, weights, waves))
    factors = torch.empty((len(waves), 2), device="cuda")
    grid = (triton.cdiv(len(waves), WAVES),)
    fused[grid](points, weights, waves, factors, len(points), len(waves), M=WAVES, N=POINTS)
    return factors.cpu().numpy()
