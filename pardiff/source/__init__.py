"""Where the code of a problem comes from, how it travels, and by what it is known again."""
