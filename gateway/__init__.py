"""The cross-border notification gateway."""
