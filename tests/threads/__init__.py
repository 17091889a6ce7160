"""Predictions from many threads, tasks and processes at once, while a model is trained: each is the serial one.

python -m tests.threads
"""
