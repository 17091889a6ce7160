"""The method of the paper as a named estimator, `irene-2021`: Cao et al., ACL 2021, equations 1 to 3.

Each operation's energy is linear in a node's features; a parent's energy is the sum over its children of
(1 + tanh(w . x) / tau) times the child's energy, x being the cubic polynomial of the child's standardised features.
It needs a run of the model on the machine for most of its features, as the paper does.
"""
