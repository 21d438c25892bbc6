"""Solvers: the common loop (base), proximal methods, linear systems, Langevin dynamics, schedules."""

from .base import Diverged, History, Learner, Result, Solver, iterate, load_state, run, save_state
from .langevin import SGLD, ULA
from .linear import CG
from .proximal import ADMM, HQS, PGD, RED, Denoiser

__all__ = [
    "ADMM",
    "CG",
    "HQS",
    "PGD",
    "RED",
    "SGLD",
    "ULA",
    "Denoiser",
    "Diverged",
    "History",
    "Learner",
    "Result",
    "Solver",
    "iterate",
    "load_state",
    "run",
    "save_state",
]
