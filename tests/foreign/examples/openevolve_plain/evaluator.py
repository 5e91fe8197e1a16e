import importlib
import os
import sys

from peak import height


def evaluate(program_path):
    # As some published evaluators do: by the file's name, which must be new each time.
    folder, name = os.path.split(program_path)
    sys.path.insert(0, folder)
    module = __import__(name[: -len(".py")])
    again = importlib.import_module(name[: -len(".py")])
    assert module is again
    x = module.run_search()
    return {"height": height(x), "combined_score": height(x), "x": x, "note": "all well"}
