"""The search methods over topologies; each is one file, and one line here."""

from evosparse.topologies.methods.neat import NEAT, NEATSearch

AnyMethod = NEAT

__all__ = ["NEAT", "AnyMethod", "NEATSearch"]
