"""The device that answers where none is named. `irene --help` says it, so it stands where nothing heavy is imported."""

DEFAULT_DEVICE = "h200"
