"""The `hetero` commands: one file a verb, and what the verbs share."""
