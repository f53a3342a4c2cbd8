"""Distillation of classifiers, sentence encoders and cross-encoders into smaller models."""
