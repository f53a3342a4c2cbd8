"""Training sentence encoders, and mining hard negatives for them."""
