"""Supervised: learns from verdicts which alerts an auditor would confirm."""
