"""Benign odd days: what is rare and legitimate, so that rare does not mean malicious."""

from riskml.data.simulator.confounders.access import (
    BorrowedComputer,
    ForgottenPassword,
    InternetNoise,
    Maintenance,
    NewLaptop,
    OnCall,
)
from riskml.data.simulator.confounders.base import Confounder
from riskml.data.simulator.confounders.workload import (
    AuditBrowsing,
    BulkExport,
    Exploration,
    HandOver,
    LateDeadline,
    MemoryStick,
    ProjectStart,
    SharedProject,
)

__all__ = ["CONFOUNDERS", "Confounder"]

CONFOUNDERS: tuple[Confounder, ...] = (
    BulkExport(),
    LateDeadline(),
    ProjectStart(),
    NewLaptop(),
    AuditBrowsing(),
    MemoryStick(),
    ForgottenPassword(),
    Exploration(),
    BorrowedComputer(),
    InternetNoise(),
    Maintenance(),
    OnCall(),
    HandOver(),
    SharedProject(),
)
"""Every benign oddity; each draws from a generator of its own, so the order is of no account."""
