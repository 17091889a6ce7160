"""The measured trees of IrEne (Cao et al., ACL 2021): files of JSON lines in, the same files out, and a table between.

One line is one run: `model_name`, `batch_size`, `seq_len` and `frontend_tree`, a nested tree of nodes. Units are those
of the files: energy in J at the wall (the whole machine), `times_mean` in s, `flops` in 1e6, `mem_bytes` in MiB, clocks
in MHz, utilisation and memory in per cent. Format: README of github.com/StonyBrookNLP/irene, branch master.
"""
