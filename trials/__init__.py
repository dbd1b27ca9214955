"""Trials: the real processes under load, one fault at a time, and an independent ledger that judges. `python -m trials --help`."""
