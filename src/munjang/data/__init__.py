"""Users' files: reading them, labelled examples, tags of entities and held-out parts."""
