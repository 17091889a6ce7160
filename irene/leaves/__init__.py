"""leaves: what one primitive costs alone, time and power, each a learned ratio to physics."""
