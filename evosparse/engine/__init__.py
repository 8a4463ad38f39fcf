"""The engine: campaigns, evaluators and the database, which know nothing of what is evolved."""
