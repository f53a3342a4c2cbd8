"""Models of a Hugging Face hub: fetching, checking and remembering them."""
