"""The guide: the book in `guide/`, built over a run as a site and as a PDF.

`book` finds the chapters, `markdown` parses them, `directives` fill in what a chapter asks for (source by symbol name,
commands, figures, exercises), `checks` refuses what a reader should never see, `site` and `printed` write the outputs.
"""
