"""Micro-benchmarks by pytest-benchmark: one C path each, called so that Python's share is small or the same for all."""
