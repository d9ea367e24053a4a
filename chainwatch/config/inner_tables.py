"""The models of tables within others, for errors that say which keys such a table has."""

from __future__ import annotations

from pydantic import BaseModel

from chainwatch.config.assets import CurrencySettings
from chainwatch.config.flows import OpeningSettings, SiblingSettings, StepSettings
from chainwatch.config.for_each import ListSettings
from chainwatch.config.invariant_values import ValueSettings
from chainwatch.config.invariants import TriggerSettings
from chainwatch.config.people import EscalationStepSettings, LayerSettings
from chainwatch.config.toml_lines import KeyPath


def inner_model(table: KeyPath) -> type[BaseModel] | None:
    """Return the model of the table at ``table``; None where it is within no other, or the name of many."""
    match table:
        case ("flows", _, "opens"):
            return OpeningSettings
        case ("flows", _, "expects", _):
            return StepSettings
        case ("flows", _, "opens", "with", _) | ("flows", _, "expects", _, "with", _):
            return SiblingSettings
        case ("invariants", _, "values", _):
            return ValueSettings
        case ("invariants", _, "for_each", _):
            return ListSettings
        case ("invariants", _, "every"):
            return TriggerSettings
        case ("networks", _, "currency"):
            return CurrencySettings
        case ("oncall", _, "layers", _):
            return LayerSettings
        case ("escalations", _, "steps", _):
            return EscalationStepSettings
    return None
