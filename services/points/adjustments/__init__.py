"""Points that staff give and take: one member's by a call, many members' by a file (an import).

Owns `adjustment_imports` and `adjustment_import_lines`.
"""

from __future__ import annotations

from services.points.adjustments.commands.create_import import IMPORT_JOB as IMPORT_JOB
from services.points.adjustments.commands.create_import import IMPORT_QUEUE as IMPORT_QUEUE
from services.points.adjustments.importer import Importer as Importer

__all__ = ["IMPORT_JOB", "IMPORT_QUEUE", "Importer"]
