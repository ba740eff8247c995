"""Methods of alignment from one SFT model, compared by what their answers are worth in truth."""
