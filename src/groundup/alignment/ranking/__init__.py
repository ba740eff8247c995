"""A person's judgement of sampled answers: what is shown, what was decided, and how far raters agree."""
