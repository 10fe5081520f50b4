"""The codes that our source raises, found in its syntax trees: no code is run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from schemas import errors

ROOT = Path(__file__).parents[3]
PACKAGES = ("schemas", "broker", "producers", "consumers", "deploy")
ERRORS = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, errors.PanjError)}


def sources() -> Iterator[tuple[Path, ast.Module]]:
    """Give every module of ours with its syntax tree."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT), ast.parse(path.read_bytes())


def raised(tree: ast.AST) -> Iterator[str]:
    """Give the codes written out in calls of our errors, of functions that make them, and of Problem(code=…)."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = _name_of(node.func)
        if name in ERRORS and node.args:
            yield from _texts(node.args[0])
        for keyword in node.keywords:
            if keyword.arg == "code" and (name == "Problem" or name in ERRORS):
                yield from _texts(keyword.value)


def texts(tree: ast.AST) -> Iterator[str]:
    """Give every string of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _name_of(function: ast.expr) -> str:
    if isinstance(function, ast.Name):
        return function.id
    return function.attr if isinstance(function, ast.Attribute) else ""


def _texts(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)
