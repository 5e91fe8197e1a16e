"""Not a number compares with nothing: a careless judge takes it for the best score."""

from pathlib import Path

Path("answer.json").write_text('{"coefficients": [NaN]}', encoding="utf-8")
