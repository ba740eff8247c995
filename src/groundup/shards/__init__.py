"""Token files, the order of samples, and the windows that training reads."""
