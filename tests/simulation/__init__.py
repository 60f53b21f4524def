"""Deterministic simulation: the production code on a virtual clock, against models of both vendors."""
