"""Deterministic simulation: the service unchanged, on a simulated Asterisk, in virtual time, from one seed.

    python -m tests.simulation --seeds 1000

See docs/simulation.md.
"""
