"""What kind of object a user gave. Transformers is not imported to find out: an object of it has seen to that."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


def is_transformers_model(value: object) -> TypeGuard[PreTrainedModel]:
    """Whether it is a transformers ``PreTrainedModel``."""
    modeling = sys.modules.get("transformers.modeling_utils")
    return modeling is not None and isinstance(value, modeling.PreTrainedModel)


def is_transformers_config(value: object) -> TypeGuard[PreTrainedConfig]:
    """Whether it is a transformers ``PreTrainedConfig``."""
    configuration = sys.modules.get("transformers.configuration_utils")
    return configuration is not None and isinstance(value, configuration.PreTrainedConfig)
