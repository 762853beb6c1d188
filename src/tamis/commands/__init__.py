"""The commands, by topic. They parse, call one library function each, and print."""

from __future__ import annotations

import click

from tamis.commands.crawl import crawl, download, extract
from tamis.commands.curate import dedupe, detect
from tamis.commands.data import export, labels, snapshot, trace
from tamis.commands.duplicates import duplicates
from tamis.commands.fetch import fetch
from tamis.commands.models import evaluate, predict, train
from tamis.commands.project import doctor, init, retry, run, status
from tamis.commands.recipes import recipe
from tamis.commands.web import demo, report, serve

#: In the order of the work.
COMMANDS: tuple[click.Command, ...] = (
    demo, init, crawl, download, run, status, retry, duplicates, serve, labels, snapshot, export, train, evaluate,
    predict, report, trace, recipe, extract, fetch, dedupe, detect, doctor,
)  # fmt: skip
