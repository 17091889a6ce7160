"""Inputs that nobody meant: drawn by a seed, each run in a child of its own, and judged by how it ends.

python -m tests.fuzz --minutes 5
"""
