"""Personal data and keys: found, counted, and masked or dropped as the blueprint says."""
