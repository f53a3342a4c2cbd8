"""Training models with the head of a task: labels, entities, relations, answers, pairs."""
