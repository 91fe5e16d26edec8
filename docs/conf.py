"""How the site is built: ``sphinx-build -W docs build/site``; static files that load nothing from elsewhere."""

import pardiff

project = "pardiff"
author = "the authors of pardiff"
version = release = pardiff.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
source_suffix = {".md": "markdown"}
root_doc = "index"
html_theme = "furo"
html_title = "pardiff"
html_extra_path = ["report-schema.json"]
myst_heading_anchors = 3  # links to headings are checked
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say the types
autodoc_default_options = {"members": True}
default_role = "literal"
suppress_warnings = ["config.cache"]
