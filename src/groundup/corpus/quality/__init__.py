"""Quality classifiers: trained from a person's own examples, measured on held-out examples, applied to a crawl.

examples = read_examples(config, base)         labelled files, or good ones against bad ones or the crawl
trained = train(examples, config)              .model, .evaluation on held-out examples
trained.model.save(folder); model = load(folder)
model.scores(texts)                            Arrow strings -> float32 in 0..1
threshold_keeping(parts, .3)                   the score from which on 30 % are kept
"""
