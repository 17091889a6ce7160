"""The version of irene, on the ground floor: predictors and reports sign with it."""

__version__ = "0.2.0"
