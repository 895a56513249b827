"""Benchmark families: one file is one family, found by its name."""
