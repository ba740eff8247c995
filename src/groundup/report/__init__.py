"""The report: one HTML file that needs nothing else, and its figures as JSON, read from artifacts alone.

`run` reads what a run left, `figures` gathers the numbers, `sections` turn them into HTML, `page` puts them together.
"""
