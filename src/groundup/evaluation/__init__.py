"""How good a model is, next to what is simpler: bits per byte, answers, tasks in the field's four kinds."""
