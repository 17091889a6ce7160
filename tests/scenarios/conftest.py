"""Programs under measurement are run, not imported: they read standard input at once."""

collect_ignore_glob = ["programs/*.py"]
