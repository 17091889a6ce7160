"""The predictors of the floor above, for tests of leaves as they stand in one."""

from tests.predictor.conftest import fitted, rows, shipped

__all__ = ["fitted", "rows", "shipped"]
