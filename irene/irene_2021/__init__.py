"""The method of the paper as a named estimator, `irene-2021`, on its own files: Cao et al., ACL 2021, equations 1 to 3.

Each operation's energy is linear in a node's features; a parent's energy is the sum over its children of
(1 + tanh(w . x) / tau) times the child's energy, x being the cubic polynomial of the child's standardised features.
It needs a run of the model on the machine for most of its features, as the paper does.

`tree_files` reads and writes measured trees as JSON lines, `node_table` makes a table of them, `estimator` is the
method, `judging` says how wrong it is, and `wall_trees` holds this project's own approach to the same files.

One line of a file is one run: `model_name`, `batch_size`, `seq_len` and `frontend_tree`, a nested tree of nodes. Units
are those of the files: energy in J at the wall (the whole machine), `times_mean` in s, `flops` in 1e6, `mem_bytes` in
MiB, clocks in MHz, utilisation and memory in per cent. Format: README of github.com/StonyBrookNLP/irene, branch master.
"""
