"""Solvers: the common loop (base), proximal methods, linear systems, schedules."""

from .base import Diverged, History, Learner, Result, Solver, iterate, load_state, run, save_state

__all__ = ["Diverged", "History", "Learner", "Result", "Solver", "iterate", "load_state", "run", "save_state"]
