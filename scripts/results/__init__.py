"""The trainings whose results stand in docs/results/, each as one function."""
