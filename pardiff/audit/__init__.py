"""An audit, run and opened again: the stages joined."""
