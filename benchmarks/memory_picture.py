"""The picture of docs/memory.md: what the cut-off tells apart.

    python -m benchmarks.memory_picture [docs/memory-cut-off.svg]

Two histograms of the relevance of the best record that a query finds in the documented functions of
the standard library: for held-back documentation sentences, and for held-back ones of licences.
"""

import argparse
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
from benchmarks.memory_corpus import passages, unrelated
from benchmarks.memory_recall import EVERYWHERE, asked, filled

from harness.memory.base import MemoryConfig
from harness.memory.embedders import make_embedder
from harness.memory.recall import gate_of

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 720, 320, 50, 50, 40
BINS = 40
FONT = 'font-family="sans-serif" font-size="12"'
RELATED, UNRELATED, INK = "#2563eb", "#d97706", "#6b7280"


def shares(values: Sequence[float], most: float) -> list[float]:
    """Share of the values in each bin of [0, most]."""
    counts, _ = np.histogram(np.minimum(values, most), bins=BINS, range=(0.0, most))
    return [float(count) / len(values) for count in counts]


def drawing(related: Sequence[float], others: Sequence[float], gate: float) -> str:
    """The SVG."""
    most = 1.5
    tallest = max(*shares(related, most), *shares(others, most))
    across, up = (WIDTH - LEFT - 20) / most, (HEIGHT - TOP - BOTTOM) / tallest
    floor = HEIGHT - BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {FONT}>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for values, colour in ((others, UNRELATED), (related, RELATED)):
        for number, share in enumerate(shares(values, most)):
            x, wide = LEFT + number * most / BINS * across, most / BINS * across
            parts.append(
                f'<rect x="{x:.1f}" y="{floor - share * up:.1f}" width="{wide - 1:.1f}" '
                f'height="{share * up:.1f}" fill="{colour}" fill-opacity="0.6"/>'
            )
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5):
        x = LEFT + tick * across
        parts.append(_text(x, floor + 18, f"{tick:g}", anchor="middle"))
    x = LEFT + gate * across
    parts.append(
        f'<line x1="{x:.1f}" y1="{TOP - 8}" x2="{x:.1f}" y2="{floor}" stroke="{INK}" '
        'stroke-dasharray="4 3"/>'
    )
    found, noise = (float(np.mean(np.array(v) >= gate)) for v in (related, others))
    parts += [
        f'<line x1="{LEFT}" y1="{floor}" x2="{WIDTH - 20}" y2="{floor}" stroke="{INK}"/>',
        _text(x + 6, TOP, f"cut-off {gate:.2f}"),
        _text(LEFT, floor + 38, "relevance of the best record"),
        _text(WIDTH - 20, 18, f"documentation sentences: {found:.1%} find something",
              anchor="end", colour=RELATED),
        _text(LEFT, 18, f"sentences of licences: {noise:.1%}", colour=UNRELATED),
        "</svg>",
    ]  # fmt: skip
    return "\n".join(parts) + "\n"


def _text(x: float, y: float, text: str, *, anchor: str = "start", colour: str = INK) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} fill="{colour}">{escape(text)}</text>'


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("file", nargs="?", default="docs/memory-cut-off.svg")
    path = Path(parser.parse_args().file)
    corpus = passages()
    embedder = make_embedder(MemoryConfig())
    with filled([(each.title, each.text) for each in corpus], embedder) as bench:
        queries = asked(corpus, embedder, tuning=False)
        related = [bench.recaller.relevance(q.text, EVERYWHERE, q.vector) for q in queries]
        texts = unrelated()[1::2]
        others = [
            bench.recaller.relevance(text, EVERYWHERE, vector)
            for text, vector in zip(texts, embedder.embed(texts), strict=True)
        ]
    path.write_text(drawing(related, others, gate_of(len(corpus))), encoding="utf-8")


if __name__ == "__main__":
    main()
