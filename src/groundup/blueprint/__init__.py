"""The blueprint: one YAML file that a person can follow, annotate and execute.

    text -tree-> nodes with line and column -overrides-> nodes -validate-> Blueprint -planning.size-> every value

`load.load` is the way in; `show`, `dump` and `schema` are the ways out.
"""
