"""Programs that are placed into the sandbox: standard library only, Python 3.8 and later."""
