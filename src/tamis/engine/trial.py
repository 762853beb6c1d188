"""Before a run begins, the models that its stages need are looked at, and those not used yet are opened.

Looking costs nothing to speak of and is done each time. A model that no row is done with yet is opened too, in a
process of its own, so that a run of days does not end at a file of an unknown layout, and nothing of the network stays
behind.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from tamis.database import reading
from tamis.engine import ledger
from tamis.engine.executor import prepare_worker
from tamis.engine.run import context_of
from tamis.engine.stage import Context, Setup, Stage
from tamis.errors import UserError
from tamis.project import Project


def look_ahead(project: Project, stages: Sequence[Stage]) -> Mapping[str, Sequence[str]]:
    """Look at the models that some stages need; return stage to what a person should know of them.

    Raises:
        UserError: a model is missing, cannot be opened, or cannot do what the settings ask of it.
    """
    context = context_of(project)
    told: dict[str, Sequence[str]] = {}
    for stage in stages:
        seen = None if stage.idle(project.settings, project.folder) else stage.look(context)
        if seen is None:
            continue
        told[stage.name] = seen
        with reading(project.engine) as connection:
            is_proven = ledger.has_rows(connection, stage.name, stage.fingerprint(context))
        if not is_proven:
            _try_out(stage, context)
    return told


def _try_out(stage: Stage, context: Context) -> None:
    """Set a stage up, as its workers will do."""
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=prepare_worker, initargs=(os.getpid(),)) as pool:
        try:
            pool.submit(_set_up, stage.worker(), context).result()
        except BrokenProcessPool as error:
            raise UserError(
                f"{stage.name}: the process that opened its model died (a crash, or out of memory)"
            ) from error


def _set_up(setup: Setup, context: Context) -> None:
    setup(context)
