"""power: what a primitive draws while it runs, by its activity and by learned ratios to that."""
