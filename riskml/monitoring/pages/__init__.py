"""The dashboards, one a file: operations, detection quality, model health, service levels."""

from __future__ import annotations

from riskml.monitoring.pages.detection import DETECTION
from riskml.monitoring.pages.model import MODEL
from riskml.monitoring.pages.operations import OPERATIONS
from riskml.monitoring.pages.service_levels import SLA

PAGES = (OPERATIONS, DETECTION, MODEL, SLA)
