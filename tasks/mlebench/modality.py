"""What kinds of data a competition has, by the files on disk, and the notes that go with them."""

import csv
import shutil
from collections import Counter
from pathlib import Path

KNOWLEDGE = Path(__file__).resolve().parent.parent / "knowledge"
SUFFIXES = {
    "image": frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".dcm"}),
    "audio": frozenset({".wav", ".aif", ".aiff", ".mp3", ".flac", ".ogg"}),
    "tabular": frozenset({".csv", ".parquet", ".tsv"}),
}
LOOKED_AT = 20_000
"""Files, at most; and rows of a table, a hundredth of that."""
TEXT_CHARACTERS = 40
TIMES = ("date", "time", "timestamp", "datetime")


def modalities(folder: Path) -> list[str]:
    """Of `tabular`, `image`, `text`, `audio` and `time_series`, those that `folder` has."""
    counts: Counter[str] = Counter()
    for index, path in enumerate(folder.rglob("*")):
        if index >= LOOKED_AT:
            break
        for name, suffixes in SUFFIXES.items():
            counts[name] += path.suffix.lower() in suffixes
    found = {name for name in ("image", "audio") if counts[name] > 1}
    train = folder / "train.csv"
    if train.is_file():
        words, times, columns = _columns(train)
        found |= {"text"} if words else set()
        found |= {"time_series"} if times else set()
        # A label file beside images has hardly more than an id and a label.
        found |= {"tabular"} if columns > 3 and not words else set()
    return sorted(found or {"tabular"})


def write_knowledge(data: Path, target: Path) -> None:
    """The general notes and those of the kinds of data in `data`."""
    target.mkdir(parents=True)
    for name in ("general", *modalities(data)):
        shutil.copyfile(KNOWLEDGE / f"{name}.md", target / f"{name}.md")


def _columns(path: Path) -> tuple[bool, bool, int]:
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        reader = csv.DictReader(file)
        rows = [row for _, row in zip(range(LOOKED_AT // 100), reader, strict=False)]
        names = list(reader.fieldnames or ())
    lengths = [sum(len(row[n] or "") for row in rows) / max(1, len(rows)) for n in names]
    spaced = [sum((row[n] or "").count(" ") for row in rows) > 3 * len(rows) for n in names]
    text = any(a > TEXT_CHARACTERS and b for a, b in zip(lengths, spaced, strict=True))
    return text, any(name.lower() in TIMES for name in names), len(names)
