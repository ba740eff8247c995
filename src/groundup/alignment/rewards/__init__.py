"""What an answer is worth: a reward model, a verifier, any function, or a weighted sum of these."""
