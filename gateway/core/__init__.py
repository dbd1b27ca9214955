"""Decisions: no I/O, no clock, no dice, no log. In pipeline order."""
