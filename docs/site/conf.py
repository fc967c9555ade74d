"""The documentation as a static site: `make docs`.

The source folder is the root of the repository, so that links between pages, README.md and
CONTRIBUTING.md lead to the same places here as on the host of the code.
"""

from cryospin.version import installed_version

project = "cryospin"
author = "the cryospin authors"
release = installed_version()

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
root_doc = "docs/site/index"
include_patterns = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**"]

myst_heading_anchors = 3
default_role = "code"

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "none"
autoclass_signature = "mixed"
numpydoc_show_class_members = False
# a docstring that lacks a section, or has one that is misspelt, is a warning, and so an error
# methods of records say it in one line
numpydoc_validation_exclude = {r"cryospin\.api\.[A-Z]\w*\.\w+$"}
numpydoc_validation_checks = {"GL01", "GL06", "GL07", "PR01", "PR02", "PR03", "RT01", "RT03"}

html_theme = "furo"
html_title = "cryospin"
html_show_sphinx = False
# where a browser looks first: the root document is not at the root
templates_path = ["."]
html_additional_pages = {"index": "redirect.html"}
