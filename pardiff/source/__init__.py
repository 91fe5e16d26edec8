"""The code of a problem: where it comes from, how it travels, and how it is recognised."""
