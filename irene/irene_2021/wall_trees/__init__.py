"""This project's own approach on IrEne-2021's wall-metered trees: physics first, a learned ratio to it second.

Three estimators, by what they may see of a run. `StaticTrees` sees shapes only: leaves are a learned ratio to a
roofline, inner nodes the sum of their children plus the work that no child accounts for. `RunTrees` sees, as the paper
does, what a run of the very node told: time, utilisation, clocks, and with `counter` the GPU's energy counter too.
`transfer` moves a `StaticTrees` to another card by its spec sheet and a few measured leaves.
"""
