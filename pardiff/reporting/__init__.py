"""One view model, `Summary`, and renderers that turn it into text. They compute nothing of their own."""
