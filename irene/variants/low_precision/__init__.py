"""low_precision: layers whose weights (and activations) have fewer bits, each calling what a named program calls."""
