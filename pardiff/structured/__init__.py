"""Evaluators that know what one changed parameter reaches: a forward pass as a chain of stages."""
