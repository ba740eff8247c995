"""The command line: thin verbs over the rooms below, none of which is imported before its verb is called."""
