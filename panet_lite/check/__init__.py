"""Answers to the exercises: one module a chapter, all built on `harness`."""
