"""passes: what a workload runs. A forward pass is one; whatever runs in several steps is several, each with a count."""
