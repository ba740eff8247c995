"""Standard evaluation: a task is a small YAML file over local JSONL, asked of any model.

    name: grammar                                  name: sums
    kind: multiple_choice                          kind: generation
    data: adjunct_island.jsonl                     data: sums.jsonl
    choices: ["{sentence_good}", "{sentence_bad}"] prompt: "Q: {question}\\nA:"
    answer: 0                                      answer: "{result}"

`read_task` reads such a file, `run_task` asks the model, and the result has n, standard errors and baselines.
"""
