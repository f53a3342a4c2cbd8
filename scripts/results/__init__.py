"""The trainings whose results are in docs/results/, one function each."""
