"""model_tree: a model as the calls that it makes: nodes, the one recursion, JSON, and the workload."""
