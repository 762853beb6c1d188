"""Benchmarks: each hot path beside the peer that a user would pick instead, in one run."""
