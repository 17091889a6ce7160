"""columns: what the regressors of time see of a call, beside its plain features."""
