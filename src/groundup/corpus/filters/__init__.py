"""Filters: what is measured of each document, the rules over it, and what a change of their thresholds would do.

Texts come as Arrow string arrays, a batch at a time, and the kernels read their buffers:

    urls.judge            addresses against lists that the user gives
    language.identify_many
    lines.keep_lines      C4's removal of lines; the only step that changes a text
    statistics.measure    some thirty figures of each text, in one pass
    rules.judge           thresholds over these figures: the first broken rule is the reason
    what_if               the same over the figures that a finished run has stored

What every statistic counts, and where that differs from the papers, is in docs/filters.md.
"""
